"""A stand-in of Google Cloud Storage: its JSON API, on this machine, in memory.

It knows as much as gcsfs, tensorstore and google-cloud-storage ask for: one-shot and
resumable uploads, downloads of ranges, listings with a delimiter, copies, deletions and
preconditions on generations. There are no folders, as in a real bucket.
"""

import base64
import contextlib
import http.server
import itertools
import json
import re
import sys
import threading
import time
import urllib.parse
import zlib
from collections.abc import Iterator

PAGE = 50  # small, so that listings come in several


class Bucket:
    """The objects of one bucket: name -> bytes, all of them kept in `objects`."""

    def __init__(self, name: str):
        """Begin empty.

        Args:
          name: of the bucket.
        """
        self.name = name
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []  # (method, path)
        self.forbidden = ""  # regular expression of names
        self.lock = threading.RLock()
        self._facts: dict[str, dict] = {}
        self._generations = itertools.count(1)
        self.uploads: dict[str, dict] = {}

    def put(self, name: str, content: bytes) -> dict:
        """Write an object; returns its facts as in the API."""
        with self.lock:
            now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
            self.objects[name] = content
            self._facts[name] = {
                "kind": "storage#object",
                "id": f"{self.name}/{name}",
                "name": name,
                "bucket": self.name,
                "size": str(len(content)),
                "generation": str(next(self._generations)),
                "metageneration": "1",
                "crc32": zlib.crc32(content),
                "etag": base64.b64encode(name.encode()).decode(),
                "timeCreated": now,
                "updated": now,
                "contentType": "application/octet-stream",
                "storageClass": "STANDARD",
            }
            return self._facts[name]

    def facts(self, name: str) -> dict | None:
        """Facts of an object as in the API; None if it does not exist."""
        return self._facts.get(name) if name in self.objects else None

    def remove(self, name: str) -> None:
        """Delete an object."""
        with self.lock:
            del self.objects[name]

    def forbids(self, name: str) -> bool:
        """Whether an object may be neither read nor written."""
        return bool(self.forbidden and re.search(self.forbidden, name))

    def meets(self, name: str, query: dict[str, str]) -> bool:
        """Whether an object is of the generation that a request names."""
        facts = self.facts(name)
        generation = facts["generation"] if facts else "0"
        expected = query.get("ifGenerationMatch", generation)
        return generation == expected and generation != query.get(
            "ifGenerationNotMatch"
        )

    def list(self, query: dict[str, str]) -> dict:
        """A page of a listing."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        start, end = query.get("startOffset", ""), query.get("endOffset")
        with self.lock:
            names = sorted(n for n in self.objects if n.startswith(prefix))
        entries: dict[str, str] = {}  # listed name -> kind
        for name in names:
            if name < start or (end and name >= end):
                continue
            head, found, _ = name[len(prefix) :].partition(delimiter or "\0")
            if delimiter and found:
                entries[prefix + head + delimiter] = "prefixes"
            else:
                entries[name] = "items"
        begin = int(query.get("pageToken") or 0)
        size = min(int(query.get("maxResults") or PAGE), PAGE)
        page = sorted(entries)[begin : begin + size]
        answer: dict = {"kind": "storage#objects"}
        for name in page:
            said = name if entries[name] == "prefixes" else self._facts[name]
            answer.setdefault(entries[name], []).append(said)
        if begin + size < len(entries):
            answer["nextPageToken"] = str(begin + size)
        return answer


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers wait 40 ms for each other else.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "_Server"

    def log_message(self, *_):
        """Stay silent."""

    def _answer(self, status: int, body: bytes | dict = b"", **headers: str) -> None:
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers["Content_Type"] = "application/json"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        try:
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
        except ConnectionError:  # whoever asked does not want to know any more
            self.close_connection = True

    def _refuse(self, status: int, reason: str) -> None:
        self._answer(status, {"error": {"code": status, "message": reason}})

    def _handle(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._read_chunks()
        bucket = self.server.bucket
        bucket.requests.append((self.command, urllib.parse.unquote(url.path)))
        parts = url.path.removeprefix("/download").split("/")
        rest = [urllib.parse.unquote(part) for part in parts]
        upload = rest[1:2] == ["upload"]
        target = rest[rest.index("b") + 1 :] if "b" in rest else []
        if not target or target[0] != bucket.name:
            self._refuse(404, f"No such bucket: {url.path}")
        elif upload:
            self._upload(bucket, query, body)
        elif len(target) == 1:
            self._answer(200, {"kind": "storage#bucket", "name": bucket.name})
        elif len(target) == 2:
            self._answer(200, bucket.list(query))
        elif "rewriteTo" in target or "copyTo" in target:
            self._copy(bucket, target)
        elif len(target) == 3:
            self._object(bucket, target[2], query)
        else:
            self._refuse(400, f"What is {url.path}?")

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().strip(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _object(self, bucket: Bucket, name: str, query: dict[str, str]) -> None:
        with bucket.lock:
            facts, content = bucket.facts(name), bucket.objects.get(name)
            if facts is None:
                return self._refuse(404, f"No such object: {bucket.name}/{name}")
            if bucket.forbids(name):
                return self._refuse(403, "storage.objects.get access denied")
            if not bucket.meets(name, query):
                unchanged = "ifGenerationNotMatch" in query
                return self._refuse(304 if unchanged else 412, "conditionNotMet")
            if self.command == "DELETE":
                bucket.remove(name)
                return self._answer(204)
        if query.get("alt") != "media":
            return self._answer(200, facts)
        headers = {"X_Goog_Generation": facts["generation"]}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return self._answer(200, content, **headers)
        first, size = int(asked[1]), len(content)
        last = min(int(asked[2] or size - 1), size - 1)
        if first >= size:
            return self._refuse(416, "requestedRangeNotSatisfiable")
        headers["Content_Range"] = f"bytes {first}-{last}/{size}"
        return self._answer(206, content[first : last + 1], **headers)

    def _copy(self, bucket: Bucket, target: list[str]) -> None:
        source, target = target[2], target[-1]
        if source not in bucket.objects:
            return self._refuse(404, f"No such object: {source}")
        facts = bucket.put(target, bucket.objects[source])
        return self._answer(200, {"done": True, "resource": facts})

    def _upload(self, bucket: Bucket, query: dict[str, str], body: bytes) -> None:
        kind, name = query.get("uploadType"), query.get("name")
        if "upload_id" in query:
            return self._go_on_uploading(bucket, query["upload_id"], body)
        if kind == "multipart":
            boundary = re.search(r"boundary=\"?([^\";]+)", self.headers["Content-Type"])
            _, head, rest = body.split(b"--" + boundary[1].encode(), 2)
            # What is uploaded may hold the boundary, too.
            rest = rest[: rest.rindex(b"--" + boundary[1].encode())]
            name = json.loads(_content(head))["name"]
            body = _content(rest)
        if kind == "resumable":
            name = name or json.loads(body)["name"]
            number = str(len(bucket.uploads))
            bucket.uploads[number] = {"name": name, "query": query, "content": b""}
            path = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable"
            return self._answer(
                200, Location=f"{self.server.url}{path}&upload_id={number}"
            )
        with bucket.lock:
            if bucket.forbids(name):
                return self._refuse(403, "storage.objects.create access denied")
            if not bucket.meets(name, query):
                return self._refuse(412, "conditionNotMet")
            return self._answer(200, bucket.put(name, body))

    def _go_on_uploading(self, bucket: Bucket, number: str, body: bytes) -> None:
        if self.command == "DELETE":
            bucket.uploads.pop(number, None)
            return self._answer(499)
        upload = bucket.uploads[number]
        upload["content"] += body
        total = self.headers["Content-Range"].rpartition("/")[2]
        done = len(upload["content"])
        if total == "*" or int(total) != done:
            return self._answer(308, Range=f"bytes=0-{done - 1}")
        with bucket.lock:
            if not bucket.meets(upload["name"], upload["query"]):
                return self._refuse(412, "conditionNotMet")
            return self._answer(200, bucket.put(upload["name"], upload["content"]))


def _content(part: bytes) -> bytes:
    """What stands behind the headers of a part, without the line's end before it."""
    _, content = re.split(rb"\r?\n\r?\n", part, maxsplit=1)
    return content.removesuffix(b"\n").removesuffix(b"\r")


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    bucket: Bucket
    url: str

    def handle_error(self, request, client_address):
        """Say nothing of those who went away, as a killed process does."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def serve(name: str = "bucket") -> Iterator[tuple[Bucket, str]]:
    """A server with one bucket.

    Args:
      name: of the bucket.

    Yields:
      The bucket, and the address of the server.
    """
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.bucket = Bucket(name)
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.bucket, server.url
        finally:
            server.shutdown()
            thread.join()
