// The composer: the text of the next message, and its files.

import { byId, element } from "./dom.js";
import { iconButton } from "./icons.js";
import { drawAttachment } from "./items.js";
import * as server from "./server.js";

export class Composer {
  isTooLong = false;
  /** Files of the message: `{ file, id, isUploaded, node, controller }`. `id` is null before the announcement. */
  files = [];
  isSending = false;
  /** What the user had written before another text was put in its place; null if none was. */
  draft = null;
  /** Maximum number of characters of a message; null if there is no limit, or if it is not known yet. */
  maxChars = null;

  /**
   * `send` gets the text and the ids of attachments, and resolves when the server has the message. `stop` stops the
   * answer. `failed` gets errors.
   */
  constructor({ send, stop, failed }) {
    this.sendMessage = send;
    this.failed = failed;
    this.form = byId("composer");
    this.text = byId("message");
    this.list = byId("files");
    this.counter = byId("counter");
    this.sendButton = byId("send");
    this.stopButton = byId("stop");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.stopButton.addEventListener("click", stop);
    for (const name of ["input", "pointerdown"]) this.text.addEventListener(name, () => this.fit());
    this.text.addEventListener("input", () => {
      if (this.text.value === "" && this.draft !== null) this.restoreDraft();
    });
    this.text.addEventListener("keydown", (event) => this.sendOnEnter(event));
    byId("attach").addEventListener("change", ({ currentTarget: input }) => {
      this.add(input.files);
      // Allows the user to choose the same file again.
      input.value = "";
    });
    this.acceptPasteAndDrop();
  }

  /** Sending is disabled during an answer. `closed` is the reason why the thread takes no messages, or null. */
  setState({ isAnswering, closed }) {
    this.isAnswering = isAnswering;
    this.text.disabled = this.isSending || closed !== null;
    this.text.placeholder = closed ?? "Say something";
    this.sendButton.hidden = isAnswering;
    this.stopButton.hidden = !isAnswering;
    this.updateSendButton();
  }

  setMaxChars(maxChars) {
    this.maxChars = maxChars;
    this.count();
  }

  setText(text) {
    this.text.value = text;
    this.fit();
    this.text.focus();
  }

  /** Puts a text in the place of what is written, which comes back when this text is sent or removed. */
  offer(text) {
    // A second offer replaces the first one, and not the draft.
    this.draft ??= this.text.value;
    this.setText(text);
  }

  restoreDraft() {
    const draft = this.draft ?? "";
    this.draft = null;
    this.setText(draft);
  }

  async send() {
    if (!this.isReady()) return;
    this.isSending = true;
    this.updateSendButton();
    try {
      await this.sendMessage(
        this.text.value.trim(),
        this.files.map(({ id }) => id),
      );
      this.files = [];
      this.list.replaceChildren();
      this.restoreDraft();
    } catch (error) {
      // The text stays, so that the user can change it and send it again. Until then it must not hide the conversation.
      this.text.style.height = "";
      this.failed(error);
    } finally {
      this.isSending = false;
      this.updateSendButton();
    }
  }

  isReady() {
    const isUploaded = this.files.every((file) => file.isUploaded);
    const hasContent = this.text.value.trim() !== "" || this.files.length > 0;
    return hasContent && isUploaded && !this.isTooLong && !this.isSending && !this.isAnswering;
  }

  /** Shows the number of characters when the message is nearly too long, before the server refuses it. */
  count() {
    // The server counts Unicode scalar values, as the iterator of a string does.
    const chars = [...this.text.value.trim()].length;
    this.isTooLong = this.maxChars !== null && chars > this.maxChars;
    const isNear = this.maxChars !== null && chars > 0.8 * this.maxChars;
    this.counter.hidden = !isNear;
    this.counter.textContent = isNear ? `${chars} of ${this.maxChars} characters` : "";
    this.counter.classList.toggle("problem", this.isTooLong);
    this.updateSendButton();
  }

  updateSendButton() {
    this.sendButton.disabled = !this.isReady();
  }

  /** Makes the field as high as its text. */
  fit() {
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
    this.count();
  }

  sendOnEnter(event) {
    // An input method, as for Japanese, uses Enter to choose a word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.send();
  }

  acceptPasteAndDrop() {
    this.text.addEventListener("paste", ({ clipboardData }) => this.add(clipboardData.files));
    this.form.addEventListener("dragover", (event) => event.preventDefault());
    this.form.addEventListener("drop", (event) => {
      if (event.dataTransfer.files.length === 0) return;
      event.preventDefault();
      this.add(event.dataTransfer.files);
    });
  }

  add(files) {
    for (const file of files) this.upload(file);
  }

  async upload(file) {
    const entry = { file, id: null, isUploaded: false, controller: new AbortController() };
    const progress = element("progress", { "aria-label": `Upload of ${file.name}`, value: 0 });
    const preview = file.type.startsWith("image/") ? URL.createObjectURL(file) : null;
    const remove = iconButton("trash", `Remove ${file.name}`, { click: () => this.remove(entry) });
    entry.node = drawAttachment({ name: file.name, preview_url: preview }, progress, remove);
    entry.node.querySelector("img")?.addEventListener("load", () => URL.revokeObjectURL(preview), { once: true });
    this.files.push(entry);
    this.list.append(entry.node);
    this.updateSendButton();
    try {
      // The browser knows no type for many files. The server then goes by the name and the content.
      const params = { name: file.name, size: file.size, mime_type: file.type };
      const { id, upload_descriptor: descriptor } = await server.requestJson("attachments.create", params);
      entry.id = id;
      entry.controller.signal.throwIfAborted();
      await server.upload(descriptor, file, (part) => (progress.value = part), entry.controller.signal);
      entry.isUploaded = true;
      entry.node.classList.add("uploaded");
      progress.remove();
    } catch (error) {
      if (!entry.controller.signal.aborted) this.failed(error);
      this.remove(entry);
    }
    this.updateSendButton();
  }

  /** Removes a file from the message, and from the server if it is there. */
  remove(entry) {
    if (!this.files.includes(entry)) return;
    this.files = this.files.filter((other) => other !== entry);
    entry.node.remove();
    entry.controller.abort();
    // An error does not matter: the server removes attachments without a message by itself.
    if (entry.id !== null) server.requestJson("attachments.delete", { attachment_id: entry.id }).catch(() => {});
    this.updateSendButton();
  }
}
