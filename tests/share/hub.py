"""A server that plays the part of the Hugging Face Hub that sending a repository needs."""

import base64
import hashlib
import json
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

TOKEN = "hf_TheTokenThatNobodyMaySee0123456789"  # made up; only this server knows it


@dataclass
class Hub:
    """What was sent to it."""

    url: str = ""
    repos: dict[str, dict] = field(default_factory=dict)  # "model me/name" -> what create said
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)  # the same -> contents by path
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    refuse: tuple[int, str] | None = None  # (status, message) for whoever makes a repository
    large: dict[str, bytes] = field(default_factory=dict)  # by sha256

    def without_authorization(self) -> str:
        """All that was ever sent, but the header that a token belongs in."""
        parts = []
        for method, path, headers, content in self.requests:
            kept = {name: value for name, value in headers.items() if name != "authorization"}
            parts.append(f"{method} {path} {kept} {content.decode('latin-1')}")
        return "\n".join(parts)


@contextmanager
def running_hub():
    """``with running_hub() as hub:`` serves a Hub on a free port of this machine."""
    hub = Hub()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()  # seconds until it sees the end
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # a client may leave
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        content = self._content()
        path = self.path.partition("?")[0]
        if path == "/api/validate-yaml":
            return self._say({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._refuse(401, "Invalid credentials in Authorization header")
        if path == "/api/repos/create":
            return self._create(json.loads(content))
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(content))
        kind, repo, action = self._parts(path)
        key = f"{kind} {repo}"
        if key not in self.hub.repos:
            return self._refuse(404, "Repository not found")
        if action == "preupload":
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith((".safetensors", ".onnx")) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(content)["files"]
            ]
            return self._say({"files": modes})
        return self._commit(key, content)

    def do_PUT(self):
        content = self._content()
        self.hub.large[self.path.rpartition("/")[2]] = content
        self._say({}, {"ETag": '"stored"'})

    def do_GET(self):
        self._content()
        if self.path.count("/") < 4:  # what the client asks for its own interest
            return self._refuse(404, "Not found")
        kind, repo, action = self._parts(self.path.partition("?")[0])
        files = self.hub.files.get(f"{kind} {repo}", {})
        if action == "tree":
            return self._say(
                [{"type": "file", "path": name, "size": len(v), "oid": "0" * 40} for name, v in files.items()]
            )
        return self._say({"id": repo, "sha": "0" * 40, "siblings": [{"rfilename": name} for name in files]})

    def _parts(self, path):
        """(model or space, OWNER/NAME, what is wanted of it)."""
        _, _, kinds, owner, name, *rest = [*unquote(path).split("/"), ""]
        return kinds.rstrip("s"), f"{owner}/{name}", rest[0]

    def _create(self, wanted):
        if self.hub.refuse:
            return self._refuse(*self.hub.refuse)
        if wanted.get("organization") not in ("me", "school"):
            return self._refuse(403, "You don't have the rights to create a model under this namespace")
        key = f"{wanted.get('type') or 'model'} {wanted['organization']}/{wanted['name']}"
        if key in self.hub.repos:
            return self._refuse(409, "You already created this repo")
        self.hub.repos[key] = wanted
        self.hub.files[key] = {}
        return self._say({"url": f"{self.hub.url}/{_where(key)}"})

    def _batch(self, wanted):
        objects = [
            {
                "oid": one["oid"],
                "size": one["size"],
                "actions": {"upload": {"href": f"{self.hub.url}/storage/{one['oid']}"}},
            }
            for one in wanted["objects"]
        ]
        self._say({"transfer": "basic", "objects": objects})

    def _commit(self, key, content):
        files = self.hub.files[key]
        for line in content.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                stored = self.hub.large[value["oid"]]
                assert hashlib.sha256(stored).hexdigest() == value["oid"]
                files[value["path"]] = stored
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        self._say(
            {"success": True, "commitOid": "0" * 40, "commitUrl": f"{self.hub.url}/{_where(key)}/commit/{'0' * 40}"}
        )

    def _content(self):
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            content = gzip.decompress(content)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.requests.append((self.command, self.path, headers, content))
        return content

    def _say(self, value, headers=None):
        body = json.dumps(value).encode()
        self.send_response(200)
        for name, given in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, given)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status, message):
        body = json.dumps({"error": message}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _where(key):
    """``space me/name`` -> ``spaces/me/name``; a model's path begins with its owner."""
    kind, repo = key.split()
    return f"spaces/{repo}" if kind == "space" else repo
