#!/usr/bin/env node
// Runs the binary of the package for this machine, with its signals and its exit code. Nothing is downloaded here.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import os from "node:os";

const name = `threadline-${process.platform}-${process.arch}`;
let binary;
try {
  binary = createRequire(import.meta.url).resolve(`${name}/threadline`);
} catch {
  console.error(
    `threadline: the package ${name} is missing. It is an optional dependency: install without --omit=optional, ` +
      "on Linux or macOS, x64 or arm64.",
  );
  process.exit(1);
}

const child = spawn(binary, process.argv.slice(2), { stdio: "inherit" });
// The terminal sends SIGINT to the child too; what a process manager sends to this process must be passed on.
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
process.on("SIGINT", () => {});
child.on("error", (error) => {
  console.error(`threadline: ${binary} cannot be run: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + (os.constants.signals[signal] ?? 0)));
