"""An identity provider for tests: its keys and tokens are made by PyJWT and cryptography, not by what verifies them.

Prints its issuer. GET /token?alg=RS256&sub=ada returns a token; GET /rotate replaces all keys.
"""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

MAKERS = {
    "RS256": (lambda: rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "PS256": (lambda: rsa.generate_private_key(65537, 3072), RSAAlgorithm),
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, OKPAlgorithm),
}
generation = 0
keys = {}


def rotate():
    global generation
    generation += 1
    for algorithm, (make, _) in MAKERS.items():
        keys[algorithm] = make()


def jwk(algorithm):
    _, form = MAKERS[algorithm]
    public = json.loads(form.to_jwk(keys[algorithm].public_key()))
    return {**public, "kid": f"{algorithm}-{generation}", "use": "sig", "alg": algorithm}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/.well-known/openid-configuration":
            body = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
        elif url.path == "/keys":
            body = {"keys": [jwk(algorithm) for algorithm in MAKERS]}
        elif url.path == "/rotate":
            rotate()
            body = {}
        elif url.path == "/token":
            algorithm = query["alg"]
            claims = {
                "iss": issuer,
                "sub": query["sub"],
                "aud": ["threadline-tests", "account"],
                "iat": time.time(),
                "exp": time.time() + 300,
                "email": "ada@example.com",
                "realm_access": {"roles": ["editor"]},
            }
            headers = {"kid": f"{algorithm}-{generation}"}
            body = {"token": jwt.encode(claims, keys[algorithm], algorithm=algorithm, headers=headers)}
        else:
            self.send_error(404)
            return
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


rotate()
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
issuer = f"http://127.0.0.1:{server.server_port}"
print(issuer, flush=True)
server.serve_forever()
