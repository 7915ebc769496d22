// Makes the npm packages from the archives of a release: `node build.mjs DIST OUT VERSION`.
//
// One package for each machine holds the binary; `threadline` names them as optional dependencies, so that npm installs the
// one that fits, without a script that runs at installation.
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const MACHINES = {
  "linux-x64": "x86_64-unknown-linux-musl",
  "linux-arm64": "aarch64-unknown-linux-musl",
  "darwin-x64": "x86_64-apple-darwin",
  "darwin-arm64": "aarch64-apple-darwin",
};

const [dist, out, version] = process.argv.slice(2);
if (!version) {
  console.error("usage: node build.mjs DIST OUT VERSION");
  process.exit(2);
}
const here = path.dirname(fileURLToPath(import.meta.url));
const main = JSON.parse(readFileSync(path.join(here, "package.json"), "utf8"));
// npm compares it with the repository that the provenance names.
const repository = process.env.GITHUB_REPOSITORY && {
  type: "git",
  url: `git+${process.env.GITHUB_SERVER_URL ?? "https://github.com"}/${process.env.GITHUB_REPOSITORY}.git`,
};
const write = (folder, value) => writeFileSync(path.join(folder, "package.json"), `${JSON.stringify(value, null, 2)}\n`);

for (const [machine, target] of Object.entries(MACHINES)) {
  const archive = path.join(dist, `threadline-${target}.tar.gz`);
  if (!existsSync(archive)) {
    console.error(`there is no ${archive}`);
    process.exit(1);
  }
  const name = `threadline-${machine}`;
  const folder = path.join(out, name);
  mkdirSync(folder, { recursive: true });
  execFileSync("tar", ["-xzf", archive, "-C", folder]);
  const unpacked = path.join(folder, `threadline-${target}`);
  const kept = readdirSync(unpacked).filter((file) => file === "threadline" || file.startsWith("LICENSE"));
  for (const file of kept) copyFileSync(path.join(unpacked, file), path.join(folder, file));
  rmSync(unpacked, { recursive: true });
  chmodSync(path.join(folder, "threadline"), 0o755);
  const [os, cpu] = machine.split("-");
  const { license } = main;
  write(folder, { name, version, description: `The binary of threadline for ${machine}.`, license, repository, os: [os], cpu: [cpu], files: kept });
}

const folder = path.join(out, "threadline");
cpSync(path.join(here, "bin"), path.join(folder, "bin"), { recursive: true });
const optionalDependencies = Object.fromEntries(Object.keys(MACHINES).map((machine) => [`threadline-${machine}`, version]));
write(folder, { ...main, version, repository, optionalDependencies });
