"A server that answers download requests as the Hub does, for tests: plain files itself, weights by way of a second address."

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

RESOLVE = re.compile(r"/(?P<repo>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
LARGE = (".safetensors", ".bin")  # the Hub keeps these apart (git LFS) and redirects there


class Hub:
    "Serve repositories: `hub.add('owner/name', files)`; `hub.requests` lists what was asked."
    def __init__(self):
        self.repositories = {}  # name → {"commits": {commit: files}, "branches": {branch: commit}}
        self.gated, self.requests, self.tokens = set(), [], {}  # tokens: request → header Authorization
        self.after = lambda request: None  # called after each answer, to change things between two requests
        handler = type("Handler", (Answer,), {"hub": self})
        # Two ports, because the Hub keeps large files on another host, to which huggingface_hub sends no token.
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
        self.url, self.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in self.servers)
        for server in self.servers: server.daemon_threads = True

    def __enter__(self):
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error): self.close()

    def close(self):
        "Go away; nobody listens at the addresses any more."
        while self.servers:
            server = self.servers.pop()
            server.shutdown()
            server.server_close()

    def add(self, name: str, files: dict[str, bytes], branch: str = "main") -> str:
        "Let a branch of a repository have these files; return the commit."
        repository = self.repositories.setdefault(name, {"commits": {}, "branches": {}})
        content = json.dumps({file: hashlib.sha1(data).hexdigest() for file, data in files.items()}, sort_keys=True)
        commit = hashlib.sha1(f"{name} {content}".encode()).hexdigest()
        repository["commits"][commit], repository["branches"][branch] = files, commit
        return commit

    def blob(self, digest: str) -> bytes | None:
        "Return the large file with this SHA-256."
        for repository in self.repositories.values():
            for files in repository["commits"].values():
                for data in files.values():
                    if hashlib.sha256(data).hexdigest() == digest: return data


class Answer(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments): pass

    def do_HEAD(self): self.answer()
    def do_GET(self): self.answer()

    def answer(self):
        path = unquote(self.path.partition("?")[0])
        self.hub.requests.append(f"{self.command} {path}")
        self.hub.tokens[f"{self.command} {path}"] = self.headers.get("Authorization")
        if path.startswith("/cdn/"): self.send_file(self.hub.blob(path.removeprefix("/cdn/")), path.removeprefix("/cdn/"))
        elif match := RESOLVE.fullmatch(path): self.resolve(**match.groupdict())
        else: self.refuse(404, None)
        self.hub.after(f"{self.command} {path}")

    def resolve(self, repo: str, revision: str, file: str):
        repository = self.hub.repositories.get(repo)
        # the Hub does not tell strangers whether a private repository exists
        if repository is None: return self.refuse(401, "RepoNotFound")
        commit = repository["branches"].get(revision, revision)
        if commit not in repository["commits"]: return self.refuse(404, "RevisionNotFound")
        if repo in self.hub.gated and self.headers.get("Authorization") != "Bearer hf_good":
            return self.refuse(401, "GatedRepo", commit)
        data = repository["commits"][commit].get(file)
        if data is None: return self.refuse(404, "EntryNotFound", commit)
        if not file.endswith(LARGE): return self.send_file(data, hashlib.sha1(data).hexdigest(), commit)
        digest = hashlib.sha256(data).hexdigest()
        self.reply(302, {"Location": f"{self.hub.storage}/cdn/{digest}", "X-Repo-Commit": commit, "X-Linked-Etag": f'"{digest}"',
                          "X-Linked-Size": str(len(data))}, b"Found.")

    def send_file(self, data: bytes | None, etag: str, commit: str | None = None):
        if data is None: return self.refuse(404, "EntryNotFound")
        headers = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes"} | ({"X-Repo-Commit": commit} if commit else {})
        if not (span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))): return self.reply(200, headers, data)
        start, end = int(span[1]), min(int(span[2] or len(data)), len(data) - 1)
        if start > end: return self.reply(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
        self.reply(206, headers | {"Content-Range": f"bytes {start}-{end}/{len(data)}"}, data[start:end + 1])

    def refuse(self, status: int, code: str | None, commit: str | None = None):
        self.reply(status, ({"X-Error-Code": code} if code else {}) | ({"X-Repo-Commit": commit} if commit else {}), b"No.")

    def reply(self, status: int, headers: dict[str, str], body: bytes):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items(): self.send_header(name, value)
        self.end_headers()
        if self.command == "GET": self.wfile.write(body)
