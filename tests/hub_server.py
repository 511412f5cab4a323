"""A Hub in memory, for tests: what `huggingface_hub` 2 asks of https://huggingface.co, over HTTP on this machine.

It keeps repositories with commits, branches and tags, takes small files in the commit and large ones by LFS, serves
ranges, tells missing repositories, revisions and files apart, and wants a token for whatever changes or is private.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_dummy"
USER = "org"
LARGE_FILES = (".safetensors", ".parquet")


class Repository:
    """Commits, each a mapping of path to bytes, and names for them."""

    def __init__(self, private, **settings):
        self.private, self.settings = private, settings
        self.commits, self.names = {}, {}
        self.commit("main", {})

    def commit(self, branch, files):
        content = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
        sha = hashlib.sha1(json.dumps([content, len(self.commits)]).encode()).hexdigest()
        self.commits[sha], self.names[branch] = files, sha
        return sha


class HubServer(ThreadingHTTPServer):
    """The server; `with HubServer() as hub` runs it in a thread. `repositories` is keyed by (type, name)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories, self.large, self.requests = {}, {}, []

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()

    def files(self, name, kind="model", revision="main"):
        repository = self.repositories[kind, name]
        return repository.commits[repository.names[revision]]


class RefusedError(Exception):
    """An answer that is no success: status, the Hub's error code, message."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def handle_method(self):
        address = urlsplit(self.path)
        path, self.query = unquote(address.path), parse_qs(address.query)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((self.command, path))
        try:
            for pattern, method in ROUTES:
                if match := re.fullmatch(pattern, f"{self.command} {path}"):
                    return getattr(self, method)(body, **match.groupdict())
            raise RefusedError(404, "NotFound", f"The test server has no route for {self.command} {path}.")
        except RefusedError as refusal:
            status, code, message = refusal.args
            self.answer({"error": message}, status, {"X-Error-Code": code, "X-Error-Message": message})

    do_GET = do_HEAD = do_POST = do_PUT = handle_method  # noqa: N815

    def answer(self, content, status=200, headers=None):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # what requests are about
    def signed_in(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def require_token(self):
        if not self.signed_in():
            raise RefusedError(401, "", "Invalid username or password.")

    def repository(self, kind, name):
        found = self.server.repositories.get(((kind or "models").removesuffix("s"), name))
        if found is None or (found.private and not self.signed_in()):
            raise RefusedError(404 if self.signed_in() else 401, "RepoNotFound", "Repository not found")
        return found

    def files_at(self, kind, name, revision):
        repository = self.repository(kind, name)
        sha = repository.names.get(revision or "main", revision)
        if sha not in repository.commits:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha, repository.commits[sha]

    # routes
    def whoami(self, body):
        self.require_token()
        self.answer({"type": "user", "name": USER, "orgs": [], "auth": {"type": "access_token"}})

    def create(self, body):
        self.require_token()
        asked = json.loads(body)
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        key = asked.get("type", "model"), name
        if key in self.server.repositories:
            return self.answer({"error": "exists", "url": f"{self.server.url}/{name}"}, 409)
        private = asked.get("private") or asked.get("visibility") == "private"
        self.server.repositories[key] = Repository(private, sdk=asked.get("sdk"))
        prefix = "" if key[0] == "model" else f"{key[0]}s/"
        self.answer({"url": f"{self.server.url}/{prefix}{name}", "name": name})

    def set_variable(self, body, name):
        self.require_token()
        asked = json.loads(body)
        self.repository("spaces", name).settings.setdefault("variables", {})[asked["key"]] = asked["value"]
        self.answer({})

    def validate_card(self, body):
        asked = json.loads(body)
        match = re.match(r"---\n(.*?)\n---\n", asked["content"], re.DOTALL)
        try:
            valid = match is not None and isinstance(yaml.safe_load(match[1]), dict)
        except yaml.YAMLError:
            valid = False
        self.answer({"errors": [] if valid else [{"message": "no metadata"}], "warnings": []}, 200 if valid else 400)

    def info(self, body, kind, name, revision=None):
        sha, files = self.files_at(kind, name, revision)
        siblings = [{"rfilename": path, "size": len(data)} for path, data in files.items()]
        facts = {"id": name, "sha": sha, "private": self.repository(kind, name).private, "tags": [], "downloads": 0}
        self.answer({**facts, "siblings": siblings, "likes": 0, "createdAt": "2026-01-01T00:00:00.000Z"})

    def preupload(self, body, kind, name, revision):
        self.require_token()
        self.files_at(kind, name, revision)
        paths = [file["path"] for file in json.loads(body)["files"]]
        modes = {path: "lfs" if path.endswith(LARGE_FILES) else "regular" for path in paths}
        self.answer({"files": [{"path": p, "uploadMode": mode, "shouldIgnore": False} for p, mode in modes.items()]})

    def large_files(self, body, name):
        self.require_token()
        objects = json.loads(body)["objects"]
        uploads = [{**one, "actions": {"upload": {"href": f"{self.server.url}/lfs/{one['oid']}"}}} for one in objects]
        self.answer({"objects": uploads, "transfer": "basic"})

    def store_large(self, body, oid):
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.large[oid] = body
        self.answer({})

    def commit(self, body, kind, name, revision):
        self.require_token()
        files = dict(self.files_at(kind, name, revision)[1])
        for operation in map(json.loads, body.splitlines()):
            key, value = operation["key"], operation["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        sha = self.repository(kind, name).commit(revision, files)
        self.answer({"success": True, "commitOid": sha, "commitUrl": f"{self.server.url}/{name}/commit/{sha}"})

    def tag(self, body, kind, name, revision):
        self.require_token()
        repository = self.repository(kind, name)
        repository.names[json.loads(body)["tag"]] = self.files_at(kind, name, revision)[0]
        self.answer({})

    def refs(self, body, kind, name):
        names = self.repository(kind, name).names.items()
        branches = [{"name": key, "ref": f"refs/heads/{key}", "targetCommit": sha} for key, sha in names]
        self.answer({"branches": branches, "tags": [], "converts": []})

    def tree(self, body, kind, name, revision, folder=None):
        files = self.files_at(kind, name, revision)[1]
        top = PurePosixPath(folder or ".")
        inside = {PurePosixPath(path): data for path, data in files.items() if top in PurePosixPath(path).parents}
        if not inside and folder:
            raise RefusedError(404, "EntryNotFound", f"{folder} does not exist")
        every = self.query.get("recursive") in (["True"], ["true"], ["1"])
        folders = {parent for path in inside for parent in path.parents if top in parent.parents}
        listed = [self.entry(path, data) for path, data in inside.items() if every or path.parent == top]
        listed += [self.entry(path, None) for path in folders if every or path.parent == top]
        self.answer(sorted(listed, key=lambda entry: entry["path"]))

    def paths_info(self, body, kind, name, revision):
        files = self.files_at(kind, name, revision)[1]
        asked = json.loads(body) if body.startswith(b"{") else parse_qs(body.decode())
        folders = {str(parent) for path in files for parent in PurePosixPath(path).parents}
        known = [path for path in asked["paths"] if path in files or path in folders]
        self.answer([self.entry(path, files.get(path)) for path in known])

    def entry(self, path, data):
        if data is None:
            return {"type": "directory", "path": str(path), "oid": "0" * 40}
        entry = {"type": "file", "path": str(path), "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        if str(path).endswith(LARGE_FILES):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        return entry

    def resolve(self, body, name, revision, file, kind="models"):
        sha, files = self.files_at(kind, name, revision)
        if self.repository(kind, name).settings.get("gated") and not self.signed_in():
            raise RefusedError(401, "GatedRepo", f"Access to model {name} is restricted.")
        if file not in files:
            raise RefusedError(404, "EntryNotFound", "Entry not found")
        data = files[file]
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        headers = {"X-Repo-Commit": sha, "ETag": etag, "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked or self.command == "HEAD":
            return self.answer(data, headers=headers)
        start, end = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        part = data[start : end + 1]
        self.answer(part, 206, {**headers, "Content-Range": f"bytes {start}-{end}/{len(data)}"})


NAME = r"(?P<name>[^/]+/[^/]+)"
REPOSITORY = rf"(?P<kind>models|datasets|spaces)/{NAME}"
FILE = r"resolve/(?P<revision>[^/]+)/(?P<file>.+)"
ROUTES = [
    ("GET /api/whoami-v2", "whoami"),
    ("POST /api/repos/create", "create"),
    ("POST /api/validate-yaml", "validate_card"),
    (f"POST /api/spaces/{NAME}/variables", "set_variable"),
    (f"GET /api/{REPOSITORY}", "info"),
    (f"GET /api/{REPOSITORY}/revision/(?P<revision>.+)", "info"),
    (f"GET /api/{REPOSITORY}/refs", "refs"),
    (f"POST /api/{REPOSITORY}/preupload/(?P<revision>.+)", "preupload"),
    (f"POST /api/{REPOSITORY}/commit/(?P<revision>.+)", "commit"),
    (f"POST /api/{REPOSITORY}/tag/(?P<revision>.+)", "tag"),
    (f"POST /api/{REPOSITORY}/paths-info/(?P<revision>.+)", "paths_info"),
    (f"GET /api/{REPOSITORY}/tree/(?P<revision>[^/]+)(/(?P<folder>.+))?", "tree"),
    (rf"POST /(?:datasets/|spaces/)?{NAME}\.git/info/lfs/objects/batch", "large_files"),
    (r"PUT /lfs/(?P<oid>\w+)", "store_large"),
    (f"(GET|HEAD) /{REPOSITORY}/{FILE}", "resolve"),
    (f"(GET|HEAD) /{NAME}/{FILE}", "resolve"),
]
