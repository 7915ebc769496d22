// Requests to the server. URLs are relative to the page, which can be served under a path prefix.

const TOKEN = "threadline.console.token";

/** An error response, or status 0 if the server could not be reached. */
export class RequestError extends Error {
  constructor(status, { code, message } = {}) {
    super(message ?? (status ? `The server answered ${status}.` : "The server cannot be reached."));
    this.status = status;
    this.code = code;
  }
}

export function isSignedIn() {
  return sessionStorage.getItem(TOKEN) !== null;
}

export function signOut() {
  sessionStorage.removeItem(TOKEN);
}

export async function signIn(credentials) {
  const { data } = await send("POST", "api/v1/auth/login", credentials);
  sessionStorage.setItem(TOKEN, data.token);
}

/** Returns a page of a list: `{ data, meta }`. Parameters without a value are left out. */
export function list(name, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value));
  return send("GET", `api/v1/admin/${name}?${query}`);
}

/** Changes something. */
export function change(path) {
  return send("POST", `api/v1/admin/${path}`, {});
}

/** Returns the health of the service and its parts, also when they are not healthy. */
export async function health() {
  const response = await fetch("health/all", { cache: "no-store" });
  return response.json();
}

async function send(method, path, body) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.authorization = `Bearer ${token}`;
  if (body) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new RequestError(0);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new RequestError(response.status, answer.error);
  return answer;
}
