// Makes a module of Temml, which makes MathML of TeX, and compresses it. The chat page loads it with the first formula.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const { version, license } = JSON.parse(readFileSync("node_modules/temml/package.json", "utf8"));
const banner = `/* Built by rest-gateway/chat-bundle; do not edit. temml ${version} (${license}). Licences: rest-gateway/chat-bundle/LICENSES.txt */\n`;
// It declares the variable `temml`.
const script = gzipSync(`${banner}${readFileSync("node_modules/temml/dist/temml.min.js", "utf8")}\nexport { temml };\n`, { level: 9 });
// The system that it was compressed on is no part of it: the same input makes the same file.
script[9] = 255;
writeFileSync("../src/chat/temml.js.gz", script);
console.log(`temml.js.gz: ${script.length} bytes`);
