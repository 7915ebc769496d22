// The composer: what is to be said, and the files that go with it.

import { byId, element } from "./dom.js";
import { iconButton } from "./icons.js";
import { drawAttachment } from "./items.js";
import * as server from "./server.js";

export class Composer {
  /** Files on their way or there: `{ file, id, node, progress, controller }`. `id` is null until it is announced. */
  files = [];
  isSending = false;

  /** `send` is given text and ids of attachments, and resolves when the server has them; `stop` ends the answer. */
  constructor({ send, stop, failed }) {
    this.handOver = send;
    this.failed = failed;
    this.form = byId("composer");
    this.text = byId("message");
    this.list = byId("files");
    this.sendButton = byId("send");
    this.stopButton = byId("stop");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.stopButton.addEventListener("click", stop);
    this.text.addEventListener("input", () => this.fit());
    this.text.addEventListener("keydown", (event) => this.sendOnEnter(event));
    byId("attach").addEventListener("change", ({ currentTarget: input }) => {
      this.add(input.files);
      // So that the same file can be chosen again.
      input.value = "";
    });
    this.takeDropped();
  }

  /** While an answer arrives there is no sending, and while a thread is closed there is no writing either. */
  setState({ isAnswering, closed }) {
    this.isAnswering = isAnswering;
    this.text.disabled = this.isSending || closed !== null;
    this.text.placeholder = closed ?? "Say something";
    this.sendButton.hidden = isAnswering;
    this.stopButton.hidden = !isAnswering;
    this.showReadiness();
  }

  setText(text) {
    this.text.value = text;
    this.fit();
    this.text.focus();
  }

  async send() {
    if (!this.isReady()) return;
    this.isSending = true;
    this.showReadiness();
    try {
      await this.handOver(
        this.text.value.trim(),
        this.files.map(({ id }) => id),
      );
      this.files = [];
      this.list.replaceChildren();
      this.setText("");
    } catch (error) {
      // What was written stays, to be sent again.
      this.failed(error);
    } finally {
      this.isSending = false;
      this.showReadiness();
    }
  }

  isReady() {
    const isThere = this.files.every(({ isUploaded }) => isUploaded);
    const saysSomething = this.text.value.trim() !== "" || this.files.length > 0;
    return saysSomething && isThere && !this.isSending && !this.isAnswering;
  }

  showReadiness() {
    this.sendButton.disabled = !this.isReady();
  }

  /** As high as what is written in it. */
  fit() {
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
    this.showReadiness();
  }

  sendOnEnter(event) {
    // While a word is being composed, as in Japanese, Enter chooses it.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.send();
  }

  takeDropped() {
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
    this.showReadiness();
    try {
      // A file of which the browser does not know the type is most often text, and the server looks at it anyway.
      const params = { name: file.name, size: file.size, mime_type: file.type || "text/plain" };
      const { id, upload_descriptor: descriptor } = await server.ask("attachments.create", params);
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
    this.showReadiness();
  }

  /** Takes a file out again, and away from the server if it is there. */
  remove(entry) {
    if (!this.files.includes(entry)) return;
    this.files = this.files.filter((other) => other !== entry);
    entry.node.remove();
    entry.controller.abort();
    // Unsent attachments are swept away anyway.
    if (entry.id !== null) server.ask("attachments.delete", { attachment_id: entry.id }).catch(() => {});
    this.showReadiness();
  }
}
