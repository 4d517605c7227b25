"""A Hugging Face hub in one process, for tests: the parts of its HTTP interface that we meet.

Repositories with commits, branches and private ones; trees, files by HEAD and GET, large files by
the LFS batch endpoint; tokens with and without the right to write. Errors have the status and the
``X-Error-Code`` that huggingface.co answers with. What it does not know it answers with 404 and
keeps in `Hub.unknown`.

Source: huggingface_hub 2.4 (`hf_api`, `_commit_api`, `lfs`, `file_download`), and the LFS batch
interface, https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".parquet", ".arrow", ".bin")
WRITER, READER = "hf_writer", "hf_reader"


class ReplyError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code


@dataclass
class Commit:
    """One state of a repository."""

    sha: str
    files: dict[str, bytes]
    message: str = "initial commit"


@dataclass
class Repository:
    """Its commits by hash, and the one that the branch main stands at."""

    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    head: str = ""

    def add(self, files: Mapping[str, bytes], message: str, sha: str = "") -> Commit:
        """Put a commit of exactly these files on main."""
        seed = repr((self.head, message, sorted(files.items()))).encode()
        found = sha or hashlib.sha1(seed).hexdigest()
        self.commits[found] = Commit(found, dict(files), message)
        self.head = found
        return self.commits[found]

    def at(self, revision: str) -> Commit:
        sha = self.head if revision == "main" else revision
        if sha not in self.commits:
            raise ReplyError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.commits[sha]


@dataclass
class Hub:
    """All that the server holds, and what it was asked."""

    address: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    writers: Mapping[str, str] = field(default_factory=lambda: {WRITER: "me"})
    readers: Mapping[str, str] = field(default_factory=lambda: {READER: "guest"})

    @property
    def store(self) -> str:
        """Where large files lie: the same server by another name, as huggingface.co has them."""
        return self.address.replace("127.0.0.1", "localhost")

    def put(self, kind: str, name: str, files: Mapping[str, bytes | str], sha: str = "") -> str:
        """Add a commit to a repository, which is made if need be.

        Args:
            kind: ``models`` or ``datasets``.
            name: ``owner/name``.
            files: Content by path; text is encoded as UTF-8.
            sha: Hash of the commit; made from the content where it is empty.
        """
        raw = {p: c.encode() if isinstance(c, str) else c for p, c in files.items()}
        self.large |= {hashlib.sha256(c).hexdigest(): c for p, c in raw.items() if _is_large(p)}
        repository = self.repositories.setdefault((kind, name), Repository())
        return repository.add(raw, "test data", sha).sha

    def repository(self, kind: str, name: str, token: str) -> Repository:
        found = self.repositories.get((kind, name))
        user = (self.writers | self.readers).get(token, "")  # type: ignore[operator]
        if found is None or (found.private and user != name.partition("/")[0]):
            if user:
                raise ReplyError(404, "RepoNotFound", "Repository not found")
            raise ReplyError(401, "RepoNotFound", "Invalid username or password.")
        return found

    def may_write(self, owner: str, token: str) -> None:
        if token not in self.writers and token not in self.readers:
            raise ReplyError(401, "", "Invalid username or password.")
        if self.writers.get(token) != owner:
            text = f"You don't have the rights to create a model under the namespace {owner!r}"
            raise ReplyError(403, "", text)


def _is_large(path: str) -> bool:
    return path.endswith(LARGE)


def blob_id(content: bytes) -> str:
    """git's name of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


_INFO = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/revision/(.+))?")
_RIGHTS = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)/auth-check(/write)?")
_TREE = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?")
_PATHS = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)/paths-info/([^/]+)")
_UPLOAD = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)/preupload/([^/]+)")
_COMMIT = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)/commit/([^/]+)")
_BATCH = re.compile(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")
_FILE = re.compile(r"/(?:api/resolve-cache/)?(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_LARGE = re.compile(r"/lfs/([0-9a-f]{64})")


class Handler(BaseHTTPRequestHandler):
    """One request; `hub` is set by `serve`."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None: ...

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _answer(self) -> None:
        self.body = self._read()
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        try:
            known = (*self.hub.writers, *self.hub.readers, "")
            if self.token not in known and not _LARGE.fullmatch(path):
                raise ReplyError(401, "", "Invalid credentials in Authorization header")
            self._route(path)
        except ReplyError as error:
            told = json.dumps({"error": str(error)}).encode()
            headers = {"X-Error-Message": str(error)}
            if error.code:
                headers["X-Error-Code"] = error.code
            self._send(told, headers, error.status)

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _route(self, path: str) -> None:
        post, routes = self.command == "POST", []
        if path == "/":
            return self._send(b"a hub", {})
        if post:
            routes = [(_PATHS, self._paths), (_UPLOAD, self._preupload)]
            routes += [(_COMMIT, self._commit), (_BATCH, self._batch)]
            if path == "/api/repos/create":
                return self._create()
            if path == "/api/validate-yaml":
                return self._json({"errors": [], "warnings": []})
        elif self.command == "PUT":
            routes = [(_LARGE, self._store)]
        else:
            routes = [(_RIGHTS, self._rights), (_TREE, self._tree), (_INFO, self._info)]
            routes += [(_FILE, self._file), (_LARGE, self._fetch)]
        for pattern, method in routes:
            match = pattern.fullmatch(path)
            if match:
                return method(*match.groups())
        if path != "/api/agent-harnesses":  # huggingface_hub asks who asks, where an agent does
            self.hub.unknown.append(f"{self.command} {path}")
        raise ReplyError(404, "", "Sorry, we can't find the page you are looking for.")

    def _info(self, kind: str, name: str, revision: str | None) -> None:
        repository = self.hub.repository(kind, name, self.token)
        commit = repository.at(revision or "main")
        self._json(
            {
                "id": name,
                "sha": commit.sha,
                "private": repository.private,
                "siblings": [{"rfilename": path} for path in sorted(commit.files)],
                "tags": [],
            }
        )

    def _rights(self, kind: str, name: str, write: str | None) -> None:
        self.hub.repository(kind, name, self.token)
        if write:
            self.hub.may_write(name.partition("/")[0], self.token)
        self._send(b"", {})

    def _entry(self, path: str, content: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content)}
        if _is_large(path):
            digest = hashlib.sha256(content).hexdigest()
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\n"
            raw = f"{pointer}size {len(content)}\n".encode()
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": len(raw)}
            return entry | {"oid": blob_id(raw)}
        return entry | {"oid": blob_id(content)}

    def _tree(self, kind: str, name: str, revision: str, below: str | None) -> None:
        files = self.hub.repository(kind, name, self.token).at(revision).files
        start = f"{below}/" if below else ""
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", [""])[0].lower() == "true"
        out: dict[str, dict[str, Any]] = {}
        for path, content in sorted(files.items()):
            rest = path.removeprefix(start).split("/")
            if not path.startswith(start):
                continue
            for depth in range(1, len(rest)):
                folder = start + "/".join(rest[:depth])
                oid = hashlib.sha1(folder.encode()).hexdigest()
                if recursive or depth == 1:
                    out[folder] = {"type": "directory", "path": folder, "size": 0, "oid": oid}
            if recursive or len(rest) == 1:
                out[path] = self._entry(path, content)
        if below and not out:
            raise ReplyError(404, "EntryNotFound", f"{below} does not exist on {revision!r}")
        self._json(list(out.values()))

    def _paths(self, kind: str, name: str, revision: str) -> None:
        files = self.hub.repository(kind, name, self.token).at(revision).files
        asked = parse_qs(self.body.decode()).get("paths", [])
        if self.headers.get("Content-Type", "").startswith("application/json"):
            asked = json.loads(self.body)["paths"]
        out = [self._entry(path, files[path]) for path in asked if path in files]
        for path in asked:
            if any(p.startswith(f"{path}/") for p in files):
                oid = hashlib.sha1(path.encode()).hexdigest()
                out.append({"type": "directory", "path": path, "size": 0, "oid": oid})
        self._json(out)

    def _file(self, kind: str | None, name: str, revision: str, path: str) -> None:
        kind = (kind or "models/").rstrip("/")
        commit = self.hub.repository(kind, name, self.token).at(revision)
        if path not in commit.files:
            raise ReplyError(404, "EntryNotFound", "Entry not found")
        content, entry = commit.files[path], self._entry(path, commit.files[path])
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{entry["oid"]}"'}
        if "lfs" not in entry:
            return self._send(content, headers)
        digest = entry["lfs"]["oid"]
        headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        headers["Location"] = f"{self.hub.store}/lfs/{digest}"
        return self._send(b"", headers, 302)

    def _fetch(self, digest: str) -> None:
        if digest not in self.hub.large:
            raise ReplyError(404, "EntryNotFound", "no such object")
        content = self.hub.large[digest]
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match:
            start = int(match[1])
            told = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self._send(content[start:], {"Content-Range": told}, 206)
        return self._send(content, {"ETag": f'"{digest}"'})

    def _create(self) -> None:
        asked = json.loads(self.body)
        kind = f"{asked.get('type') or 'model'}s"
        owner = asked.get("organization") or self.hub.writers.get(self.token, "")
        self.hub.may_write(owner, self.token)
        name = f"{owner}/{asked['name']}"
        url = f"{self.hub.address}/{'datasets/' * (kind == 'datasets')}{name}"
        if (kind, name) in self.hub.repositories:
            return self._json({"url": url, "error": "You already created this repo"}, 409)
        repository = Repository(private=asked.get("visibility") == "private")
        repository.add({".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        self.hub.repositories[kind, name] = repository
        return self._json({"url": url})

    def _preupload(self, kind: str, name: str, revision: str) -> None:
        self.hub.may_write(name.partition("/")[0], self.token)
        files = self.hub.repository(kind, name, self.token).at(revision).files
        out = []
        for asked in json.loads(self.body)["files"]:
            path = asked["path"]
            here = self._entry(path, files[path]) if path in files else {}
            oid = here["lfs"]["oid"] if "lfs" in here else here.get("oid")
            mode = "lfs" if _is_large(path) else "regular"
            out.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._json({"files": out})

    def _batch(self, kind: str | None, name: str) -> None:
        self.hub.may_write(name.partition("/")[0], self.token)
        out = []
        for one in json.loads(self.body)["objects"]:
            href = f"{self.hub.store}/lfs/{one['oid']}"
            actions = (
                {} if one["oid"] in self.hub.large else {"actions": {"upload": {"href": href}}}
            )
            out.append({"oid": one["oid"], "size": one["size"], **actions})
        self._json({"transfer": "basic", "objects": out})

    def _store(self, digest: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != digest:
            raise ReplyError(400, "", "the content is not what its name says")
        self.hub.large[digest] = self.body
        self._send(b"", {})

    def _commit(self, kind: str, name: str, revision: str) -> None:
        self.hub.may_write(name.partition("/")[0], self.token)
        repository = self.hub.repository(kind, name, self.token)
        files, message = dict(repository.at(revision).files), ""
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                if value["oid"] not in self.hub.large:
                    raise ReplyError(400, "", f"{value['path']} was never uploaded")
                files[value["path"]] = self.hub.large[value["oid"]]
            elif item["key"] == "deletedFile":
                files.pop(value["path"])
            else:
                raise ReplyError(400, "", f"unknown operation {item['key']}")
        made = repository.add(files, message)
        url = f"{self.hub.address}/{name}/commit/{made.sha}"
        self._json({"success": True, "commitOid": made.sha, "commitUrl": url, "hookOutput": ""})

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), {"Content-Type": "application/json"}, status)

    def _send(self, content: bytes, headers: Mapping[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def serve() -> Iterator[Hub]:
    """An empty hub on a free port of this machine, gone at the end."""
    hub = Hub()
    handler = type("HubHandler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
