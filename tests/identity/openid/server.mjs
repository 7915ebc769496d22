// A real OpenID provider for tests: oidc-provider, which is certified by the OpenID Foundation.
//
//   node server.mjs DIRECTORY      (the directory has node_modules; see package.json)
//
// Prints its issuer. Beside the provider's own routes there are some of the tests, below /test/:
//
//   POST /test/rotate              replaces all keys, as an operator does who starts the provider with others
//   POST /test/add                 publishes the next keys beside the present ones
//   POST /test/mode                {"mode"}: normal, or how it misbehaves: down, or one of MISCHIEF. `by-query` lets
//                                  each request say so: /jwks?mode=garbage
//   POST /test/sign                {"alg", "header", "payload"}: signs exactly these texts with the provider's key
//   GET  /test/state               {"reads"}, and the public keys as PEM
import crypto from 'node:crypto';
import http from 'node:http';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// It warns of settings that are for tests only.
console.info = console.warn = () => {};

const library = path.join(process.argv[2], 'node_modules', 'oidc-provider', 'lib', 'index.js');
const { Provider } = await import(pathToFileURL(library));

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const MAKERS = {
  RS256: () => crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS256: () => crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => crypto.generateKeyPairSync('ed25519'),
};

let generation = 0;
let keys = [];
let former = [];
let mode = 'normal';
let reads = 0;
let handle;

function makeKeys() {
  generation += 1;
  return ALGORITHMS.map((alg) => ({ alg, kid: `${alg}-${generation}`, ...MAKERS[alg]() }));
}

// The keys of a provider are fixed when it is made, so another set is another provider at the same address.
function install() {
  const jwks = { keys: [...keys, ...former].map(({ alg, kid, privateKey }) => ({ ...privateKey.export({ format: 'jwk' }), alg, kid, use: 'sig' })) };
  const provider = new Provider(issuer, {
    jwks,
    clients: ['ada', 'bob'].map((client_id) => ({
      client_id, client_secret: 'secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
    })),
    enabledJWA: { idTokenSigningAlgValues: ALGORITHMS, requestObjectSigningAlgValues: ALGORITHMS },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        // The last part of a resource is the algorithm: urn:threadline:RS256.
        getResourceServerInfo: (_, resource) => {
          const alg = resource.split(':').pop();
          const { kid } = keys.find((key) => key.alg === alg);
          return { scope: 'chat', audience: 'threadline-tests', accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg, kid } } };
        },
      },
    },
  });
  handle = provider.callback();
}

function signExactly({ alg, header, payload }) {
  const { privateKey } = keys.find((key) => key.alg === alg);
  const input = [header, payload].map((text) => Buffer.from(text).toString('base64url')).join('.');
  const options = {
    RS256: privateKey,
    PS256: { key: privateKey, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
    ES256: { key: privateKey, dsaEncoding: 'ieee-p1363' },
    EdDSA: privateKey,
  }[alg];
  const signature = crypto.sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), options);
  return `${input}.${signature.toString('base64url')}`;
}

async function test(request, url) {
  let text = '';
  for await (const chunk of request) text += chunk;
  const body = text ? JSON.parse(text) : {};
  switch (url) {
    case '/test/rotate':
      former = [];
      keys = makeKeys();
      install();
      return {};
    case '/test/add':
      former = keys;
      keys = makeKeys();
      install();
      return {};
    case '/test/mode':
      mode = body.mode;
      return {};
    case '/test/sign':
      return { token: signExactly(body) };
    case '/test/state': {
      const pem = Object.fromEntries(keys.map(({ alg, publicKey }) => [alg, publicKey.export({ format: 'pem', type: 'spki' })]));
      return { reads, pem };
    }
    default:
      throw new Error(`no route ${url}`);
  }
}

const MISCHIEF = {
  down: (response) => response.writeHead(503).end('down'),
  garbage: (response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"issuer": \u0000<html>'),
  empty: (response) => response.writeHead(200).end(),
  redirect: (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
  deep: (response) => response.writeHead(200).end('['.repeat(500_000)),
  'other-issuer': (response) => response.writeHead(200).end(JSON.stringify({ issuer: 'https://other.example', jwks_uri: `${issuer}/jwks` })),
  // More than anybody should read, without an end.
  huge: (response) => {
    response.writeHead(200);
    const more = () => { while (!response.destroyed && response.write('x'.repeat(65_536))); };
    response.on('drain', more);
    more();
  },
  // A byte now and then: each read succeeds, and the document does not come.
  slow: (response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write(' '), 200);
    response.on('close', () => clearInterval(timer));
  },
};

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://test');
  if (pathname.startsWith('/test/')) {
    test(request, pathname).then(
      (answer) => response.end(JSON.stringify(answer)),
      (error) => response.writeHead(500).end(String(error)),
    );
    return;
  }
  const isKeys = pathname === '/jwks';
  if (isKeys) reads += 1;
  const isDocument = isKeys || pathname.startsWith('/.well-known/');
  const misbehave = MISCHIEF[mode === 'by-query' ? searchParams.get('mode') : mode];
  if (isDocument && misbehave) {
    if (!isKeys) reads += 1;
    misbehave(response);
  } else {
    handle(request, response);
  }
});
server.listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
keys = makeKeys();
install();
console.log(issuer);
