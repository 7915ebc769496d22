// Requests with the token of a page, and the errors of their responses. The chat page and the console share it.
// URLs are relative to the page, which can be served under a path prefix.

/** An error response, or status 0 if the server could not be reached. */
export class RequestError extends Error {
  constructor(status, { code, message, retry_after: retryAfter } = {}) {
    super(message ?? (status ? `The server answered ${status}.` : "The server cannot be reached."));
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Sends requests with the user's token, which the page keeps in the session storage under `key`. */
export class Client {
  #key;

  constructor(key) {
    this.#key = key;
  }

  get isSignedIn() {
    return sessionStorage.getItem(this.#key) !== null;
  }

  async signIn(credentials) {
    const { data } = await (await this.post("api/v1/auth/login", credentials)).json();
    sessionStorage.setItem(this.#key, data.token);
  }

  /** Forgets the token, and tells the page by the event `signed-out` of the document. */
  signOut() {
    sessionStorage.removeItem(this.#key);
    document.dispatchEvent(new Event("signed-out"));
  }

  post(path, body, signal) {
    const headers = { "content-type": "application/json" };
    return this.send(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  }

  /** Sends a request. Throws a RequestError for an error response. A token that the server refuses is forgotten. */
  async send(path, { headers, ...options } = {}) {
    const token = sessionStorage.getItem(this.#key);
    const authorization = token === null ? {} : { authorization: `Bearer ${token}` };
    const sent = fetch(path, { cache: "no-store", ...options, headers: { ...headers, ...authorization } });
    const response = await sent.catch((error) => Promise.reject(unreachable(error)));
    if (response.ok) return response;
    if (response.status === 401 && token !== null) this.signOut();
    throw new RequestError(response.status, errorIn(await response.text()));
  }
}

/** Returns the error of a response body; empty if a proxy has sent it in another form. */
export function errorIn(text) {
  try {
    return JSON.parse(text).error ?? {};
  } catch {
    return {};
  }
}

/** Returns the error of a failed connection. An abort by the page stays an AbortError. */
export function unreachable(error) {
  if (error?.name === "AbortError" || error instanceof RequestError) return error;
  return new RequestError(0, { code: "UNREACHABLE" });
}
