// The form to sign in. The chat page and the console share it.

import { byId } from "./dom.js";

/**
 * Handles the form. `signIn` gets the values of its fields, and the value of the button that was pressed. An error of
 * `signIn` is shown in the form.
 */
export function handleSignIn(signIn) {
  const problem = byId("sign-in-problem");
  byId("sign-in").addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      await signIn(Object.fromEntries(new FormData(event.currentTarget)), event.submitter?.value);
    } catch (error) {
      problem.textContent = error.message;
    }
  });
}
