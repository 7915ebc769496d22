// Requests of the console.

import { Client } from "./http.js";

const client = new Client("threadline.console.token");

export function isSignedIn() {
  return client.isSignedIn;
}

export function signOut() {
  client.signOut();
}

export function signIn(credentials) {
  return client.signIn(credentials);
}

/** Returns a page of a list: `{ data, meta }`. Parameters without a value are left out. */
export async function list(name, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value));
  return (await client.send(`api/v1/admin/${name}?${query}`)).json();
}

/** Requests a change, and returns the response. */
export async function change(method, path, body) {
  const headers = { "content-type": "application/json" };
  return (await client.send(`api/v1/admin/${path}`, { method, headers, body: JSON.stringify(body) })).json();
}

/** Returns the health of the service and its parts, also when they are not healthy. */
export async function health() {
  const response = await fetch("health/all", { cache: "no-store" });
  return response.json();
}
