// Compresses the viewer as its authors publish it, and collects the licences of what is in it.
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";

const MODULES = "node_modules";

/** Returns the folders of the packages below a folder, also of those that a package has for itself. */
function packagesIn(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder).filter((name) => !name.startsWith("."));
  const folders = entries.flatMap((name) => (name.startsWith("@") ? packagesIn(path.join(folder, name)) : [path.join(folder, name)]));
  return folders.flatMap((found) => [found, ...packagesIn(path.join(found, MODULES))]);
}

const licences = packagesIn(MODULES).map((folder) => {
  const { name, version, license, author } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(path.join(folder, file), "utf8").trim() : `${license}. ${author?.name ?? author ?? ""}`.trim();
  return `== ${name} ${version}: ${license}\n\n${text.replaceAll("\r", "")}\n`;
});
writeFileSync("LICENSES.txt", [...new Set(licences)].sort().join("\n"));

const banner =
  "/* Made by rest-gateway/reference-bundle; do not edit. openapi-explorer and its dependencies. " +
  "Licences: rest-gateway/reference-bundle/LICENSES.txt */\n";
const source = readFileSync(path.join(MODULES, "openapi-explorer/dist/browser/openapi-explorer.min.js"));
const script = gzipSync(Buffer.concat([Buffer.from(banner), source]), { level: 9 });
// The system that it was compressed on is no part of it: the same input makes the same file.
script[9] = 255;
writeFileSync("../src/reference/explorer.js.gz", script);
console.log(`${script.length} bytes, ${licences.length} packages`);
