"""A server that answers as the Hub does, for tests: downloads, plain files itself, weights by way of a second address; and
uploads, with huggingface_hub's requests (hf_api.py, _commit_api.py, lfs.py) for repositories, branches, files and commits."""

import base64
import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

RESOLVE = re.compile(r"/(?P<repo>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
LARGE = (".safetensors", ".bin")  # the Hub keeps these apart (git LFS) and redirects there
API = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)"
                 r"(?:/(?P<action>revision|tree|branch|preupload|commit|refs)(?:/(?P<revision>[^/]+)(?P<folder>/.+)?)?)?")
BATCH = re.compile(r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
WRITERS = {"Bearer hf_writer": ("writer", "guild")}  # header Authorization → where it may write
READERS = ("Bearer hf_reader",)


class Hub:
    "Serve repositories: `hub.add('owner/name', files)`; `hub.requests` lists what was asked."
    def __init__(self):
        # name → {"commits": {commit: files}, "branches": {branch: commit}, "private": bool, "log": [summary of a commit]}
        self.repositories = {}
        self.uploaded = {}  # SHA-256 → content of a large file
        self.gated, self.requests, self.tokens = set(), [], {}  # tokens: request → header Authorization
        self.after = lambda request: None  # called after each answer, to change things between two requests
        # for a bad day: (status, headers) in place of an answer, seconds of silence, or a byte in half a second: "trickle" of a
        # file, "headers" of what comes before it; "half": half of a large file, and then nothing;
        # or "drop": no answer, and an end of the connection
        self.mood = lambda request: None
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
        repository = self.repositories.setdefault(name, {"commits": {}, "branches": {}, "private": False, "log": []})
        content = json.dumps({file: hashlib.sha1(data).hexdigest() for file, data in files.items()}, sort_keys=True)
        commit = hashlib.sha1(f"{name} {content}".encode()).hexdigest()
        repository["commits"][commit], repository["branches"][branch] = files, commit
        return commit

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        "Return the files of a branch."
        repository = self.repositories[name]
        return repository["commits"][repository["branches"][branch]]

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
    def do_POST(self): self.answer()
    def do_PUT(self): self.answer()

    def answer(self):
        path, _, query = self.path.partition("?")
        path = unquote(path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append(f"{self.command} {path}")
        self.hub.tokens[f"{self.command} {path}"] = self.headers.get("Authorization")
        mood = self.hub.mood(f"{self.command} {path}")
        if isinstance(mood, tuple): return self.reply(*mood, b"No.")
        if mood == "trickle": return self.trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        if mood == "drop": self.close_connection = True; return
        if mood == "half": return self.half(self.hub.blob(path.removeprefix("/cdn/")))
        if mood == "headers": return self.trickle(b"HTTP/1.1 200 OK\r\nX-Long: ")
        if mood: return time.sleep(mood)
        if path.startswith("/cdn/"): self.send_file(self.hub.blob(path.removeprefix("/cdn/")), path.removeprefix("/cdn/"))
        elif self.command == "PUT": self.take_large(path.removeprefix("/upload/"))
        elif path == "/api/repos/create": self.create(**json.loads(self.body))
        elif path == "/api/whoami-v2": self.whoami()
        elif path == "/api/validate-yaml": self.send_json({"errors": [], "warnings": []})
        elif match := API.fullmatch(self.path.partition("?")[0]): self.api(**match.groupdict(), query=query)
        elif match := BATCH.fullmatch(path): self.batch(**match.groupdict())
        elif match := RESOLVE.fullmatch(path): self.resolve(**match.groupdict())
        else: self.refuse(404, None)
        self.hub.after(f"{self.command} {path}")

    def trickle(self, begin: bytes):
        "Begin an answer and send next to nothing of the rest."
        try:
            self.wfile.write(begin)
            for _ in range(120): self.wfile.write(b"x"), self.wfile.flush(), time.sleep(0.5)
        except OSError: self.close_connection = True  # nobody listens any more

    def half(self, data: bytes):
        "Send half of a file and fall silent."
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:len(data) // 2]), self.wfile.flush(), time.sleep(60)

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
        if not file.endswith(LARGE): return self.send_file(data, git_hash(data), commit)
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
        if self.command != "HEAD": self.wfile.write(body)

    def send_json(self, content: dict | list, status: int = 200):
        self.reply(status, {"Content-Type": "application/json"}, json.dumps(content).encode())

    # Uploads

    def may_write(self, repo: str) -> bool:
        "Tell whether the token may write there; if not, say so."
        token = self.headers.get("Authorization")
        if repo.partition("/")[0] in WRITERS.get(token, ()): return True
        self.send_json({"error": "No."}, 403 if token in (*WRITERS, *READERS) else 401)
        return False

    def whoami(self):
        names = WRITERS.get(self.headers.get("Authorization"))
        if not names: return self.send_json({"error": "No."}, 401)
        self.send_json({"type": "user", "name": names[0], "orgs": [],
                        "auth": {"type": "access_token", "accessToken": {"displayName": "laptop", "role": "write"}}})

    def create(self, name: str, organization: str | None = None, visibility: str = "public", type: str = "model"):
        names = WRITERS.get(self.headers.get("Authorization"), ("nobody",))
        repo = f"{organization or names[0]}/{name}"
        if not self.may_write(repo): return
        known = repo in self.hub.repositories
        if not known: self.hub.add(repo, {".gitattributes": b"*.bin filter=lfs"})
        if not known: self.hub.repositories[repo]["private"] = visibility == "private"
        self.send_json({"url": f"{self.hub.url}/{repo}"}, 409 if known else 200)

    def api(self, repo: str, action: str | None, revision: str | None, folder: str | None, query: str):
        repository = self.hub.repositories.get(repo)
        if repository is None: return self.refuse(404, "RepoNotFound")
        branches, revision = repository["branches"], unquote(revision or "main")  # a branch's name may have a slash
        if action in ("branch", "commit") and "create_pr" not in query and not self.may_write(repo): return
        if action == "branch":
            known = revision in branches
            branches.setdefault(revision, branches["main"])
            return self.send_json({}, 409 if known else 200)
        if action == "refs":
            return self.send_json({"branches": [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
                                                for name, commit in branches.items() if not name.startswith("refs/")],
                                   "converts": [], "tags": []})
        if revision not in branches: return self.refuse(404, "RevisionNotFound")
        files = self.hub.files(repo, revision)
        if folder: return self.refuse(404, "EntryNotFound")  # no repository here has one that a test asks for
        if action == "preupload":
            paths = [file["path"] for file in json.loads(self.body)["files"]]
            return self.send_json({"files": [{"path": path, "uploadMode": "lfs" if path.endswith(LARGE) else "regular",
                                              "shouldIgnore": False, "oid": git_hash(files.get(path))} for path in paths]})
        if action == "commit": return self.commit(repo, revision, dict(files), "create_pr" in query)
        if action == "tree":
            return self.send_json([{"type": "file", "path": path, "size": len(data), "oid": git_hash(data)}
                                   for path, data in files.items()])
        self.send_json({"id": repo, "sha": branches[revision], "private": repository["private"], "tags": [],
                        "siblings": [{"rfilename": path} for path in files]})

    def batch(self, repo: str):
        "Say where the content of large files goes: to the other host, which is told neither name nor token."
        objects = [{**each, "actions": {"upload": {"href": f"{self.hub.storage}/upload/{each['oid']}"}}}
                   for each in json.loads(self.body)["objects"]]
        self.send_json({"transfer": "basic", "objects": objects})

    def take_large(self, digest: str):
        matches = hashlib.sha256(self.body).hexdigest() == digest
        if matches: self.hub.uploaded[digest] = self.body
        self.reply(200 if matches else 400, {}, b"")

    def commit(self, repo: str, revision: str, files: dict[str, bytes], as_pull_request: bool):
        "Change a branch's files, all at once."
        summary = None
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "header": summary = value
            elif line["key"] == "file": files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile": files[value["path"]] = self.hub.uploaded[value["oid"]]
            elif line["key"] == "deletedFile": del files[value["path"]]
        branch = f"refs/pr/{len(self.hub.repositories[repo]['log']) + 1}" if as_pull_request else revision
        commit = self.hub.add(repo, files, branch)
        self.hub.repositories[repo]["log"].append(summary)
        self.send_json({"success": True, "commitOid": commit, "commitUrl": f"{self.hub.url}/{repo}/commit/{commit}",
                        "pullRequestUrl": f"{self.hub.url}/{repo}/discussions/1" if as_pull_request else None})


def git_hash(data: bytes | None) -> str | None:
    "Return what git calls a file with this content."
    return data if data is None else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
