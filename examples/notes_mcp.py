#!/usr/bin/env python3
"""An MCP server that stores notes in memory. It uses standard input and output, or HTTP with `--http PORT`.

It needs only Python. `examples/agents.toml` and the tests start it.
"""

import argparse
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOTES = []
TEXT = {"type": "string"}
TOOLS = [
    {
        "name": "add",
        "description": "Keep a note.",
        "inputSchema": {"type": "object", "properties": {"text": TEXT}, "required": ["text"]},
        "annotations": {"title": "Keeping a note"},
    },
    {
        "name": "list",
        "description": "All notes, oldest first.",
        "inputSchema": {"type": "object", "properties": {}},
        "annotations": {"title": "Reading the notes", "readOnlyHint": True},
    },
]


class Refusal(Exception):
    """An error whose text the model gets."""


def call(name, arguments):
    if name == "add":
        if not isinstance(arguments.get("text"), str):
            raise Refusal("`text` is missing.")
        NOTES.append(arguments["text"])
        return {"kept": len(NOTES)}
    if name == "list":
        return {"notes": NOTES}
    raise Refusal(f"There is no tool called {name}.")


def answer(message):
    """Return the response to a message; None for a notification."""
    method, params = message.get("method"), message.get("params") or {}
    if "id" not in message:
        return None
    reply = {"jsonrpc": "2.0", "id": message["id"]}
    if method == "initialize":
        reply["result"] = {
            "protocolVersion": params.get("protocolVersion", "2025-06-18"),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "notes", "version": "1.0.0"},
        }
    elif method == "ping":
        reply["result"] = {}
    elif method == "tools/list":
        reply["result"] = {"tools": TOOLS}
    elif method == "tools/call":
        try:
            result = call(params.get("name"), params.get("arguments") or {})
            content = [{"type": "text", "text": json.dumps(result)}]
            reply["result"] = {"content": content, "structuredContent": result}
        except Refusal as refusal:
            reply["result"] = {"content": [{"type": "text", "text": str(refusal)}], "isError": True}
    else:
        reply["error"] = {"code": -32601, "message": f"There is no method {method}."}
    return reply


def serve_stdio():
    for line in sys.stdin:
        reply = answer(json.loads(line)) if line.strip() else None
        if reply is not None:
            print(json.dumps(reply), flush=True)


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        token = os.environ.get("NOTES_TOKEN")
        if token and self.headers.get("authorization") != f"Bearer {token}":
            return self.reply(401, b"")
        reply = answer(json.loads(body))
        if reply is None:
            return self.reply(202, b"")
        self.reply(200, json.dumps(reply).encode())

    def do_GET(self):
        self.reply(405, b"")

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--http", type=int, metavar="PORT", help="listen there instead; 0 is any free port")
    port = parser.parse_args().http
    if port is None:
        serve_stdio()
    else:
        server = ThreadingHTTPServer(("127.0.0.1", port), Http)
        print(f"http://127.0.0.1:{server.server_port}/mcp", flush=True)
        server.serve_forever()
