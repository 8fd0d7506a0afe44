"""A minimal S3 in memory, for benchmarks and for comparing objects byte for byte.

It answers what `sam package` and Foothold ask (HEAD, GET, PUT, also one that has a condition,
multipart upload, the folders of a bucket), keeps the headers that matter, and can be as slow as a
distant region: `delay` seconds before each answer, `rate` bytes a second on each connection. It
also answers SSM's GetParametersByPath, so that the command line finds its stores, and whatever
other calls a test gives it answers for: `calls` by their target, `paths` by the first part of
their path. One process, 127.0.0.1 only.

Buckets exist by being named, except that the first word of a name can ask for a failure:
`missing-...`, `foreign-...`, `denied-...`, `readonly-...`, `disabled-...` (the bucket's key).

A bucket that a parameter names encrypts with the key that stands beside it, and carries the tags of
that region's store, unless `settings` says otherwise.

    python -m benchmarks.s3 [--delay S] [--rate B] [--discard] [--home R] [--parameters JSON]

prints its port and runs until its standard input is closed.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HEAD_LIMIT = 65536
ACCOUNT = "111111111111"
CALLER = f"arn:aws:iam::{ACCOUNT}:user/developer"
KEPT = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-checksum-sha256",
    "x-amz-meta-",
)
FAILURES = {  # first word of the bucket: which methods fail, and how
    "missing": ("HEAD GET PUT POST", 404, "NoSuchBucket", "The specified bucket does not exist"),
    "foreign": ("HEAD GET PUT POST", 403, "AccessDenied", "Access Denied"),
    "denied": ("HEAD GET PUT POST", 403, "AccessDenied", "Access Denied"),
    "readonly": ("PUT POST", 403, "AccessDenied", "Access Denied"),
    "disabled": ("PUT POST GET", 400, "KMS.DisabledException", "The key is disabled."),
}


@dataclass
class Stored:
    size: int
    body: bytes | None
    headers: dict[str, str]


@dataclass
class World:
    """Everything the server holds, shared by its connections."""

    delay: float = 0
    rate: float = 0
    discard: bool = False
    parameters: dict[str, str] = field(default_factory=dict)
    objects: dict[str, Stored] = field(default_factory=dict)
    shelves: dict[str, dict[str, Stored]] = field(default_factory=dict)
    uploads: dict[str, tuple[dict[str, str], dict[int, Stored]]] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    calls: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    paths: dict[str, Callable[["Request"], "Answer"]] = field(default_factory=dict)
    home: str = "eu-central-1"
    # By bucket: the key that it encrypts with, and its region; where no parameter names it.
    settings: dict[str, tuple[str, str]] = field(default_factory=dict)
    # By bucket: the failure that its name would ask for otherwise.
    failing: dict[str, str] = field(default_factory=dict)

    def setting(self, bucket: str) -> tuple[str, str]:
        for name, value in self.parameters.items():
            path, _, leaf = name.rpartition("/")
            if leaf == "bucket" and value == bucket and bucket not in self.settings:
                return self.parameters.get(f"{path}/key-arn", ""), path.rpartition("/")[2]
        return self.settings.get(bucket, ("", ""))

    def reset(self) -> None:
        """Forget the objects, and how many requests there were."""
        self.objects.clear()
        self.requests.clear()

    def use(self, shelf: str) -> None:
        """Go on with the objects of this name; there may be many sets of them."""
        self.objects = self.shelves.setdefault(shelf, {})


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes | None = None
    size: int = 0


Answer = tuple[int, dict[str, str], bytes]


def answer(world: World, request: Request) -> Answer:
    if request.path == "/":
        return _json_call(world, request)
    if request.path.startswith("/_"):
        return 200, {}, _own_call(world, request.path)
    bucket, _, key = request.path.lstrip("/").partition("/")
    if key:
        world.requests[request.method] = world.requests.get(request.method, 0) + 1
    if bucket in world.paths:
        return world.paths[bucket](request)
    word = world.failing.get(bucket) or bucket.partition("-")[0]
    failing, status, code, message = FAILURES.get(word, ("", 0, "", ""))
    if request.method in failing:
        return (
            status,
            {},
            f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode(),
        )
    return _object_call(world, request) if key else _bucket_call(world, bucket, request)


def _bucket_call(world: World, bucket: str, request: Request) -> Answer:
    """What S3 tells of a bucket: its folders, its default encryption, or its tags."""
    if "list-type" in request.query:
        return 200, {}, _folders(world, bucket, request.query["prefix"][0])
    key, region = world.setting(bucket)
    if "encryption" in request.query:
        algorithm = "<SSEAlgorithm>aws:kms</SSEAlgorithm>"
        rule = f"{algorithm}<KMSMasterKeyID>{key}</KMSMasterKeyID>" if key else algorithm
        default = f"<ApplyServerSideEncryptionByDefault>{rule}</ApplyServerSideEncryptionByDefault>"
        name, inner = "ServerSideEncryptionConfiguration", f"<Rule>{default}</Rule>"
    else:
        tags = {
            "foothold:stack": "foothold",
            "foothold:home": world.home,
            "foothold:region": region,
        }
        pairs = (f"<Key>{key}</Key><Value>{value}</Value>" for key, value in tags.items())
        name = "Tagging"
        inner = f"<TagSet>{''.join(f'<Tag>{pair}</Tag>' for pair in pairs)}</TagSet>"
    return 200, {}, f"<{name}>{inner}</{name}>".encode()


def _folders(world: World, bucket: str, prefix: str) -> bytes:
    begin = f"/{bucket}/{prefix}"
    rest = (path.removeprefix(begin) for path in world.objects if path.startswith(begin))
    names = sorted({name.partition("/")[0] for name in rest if "/" in name})
    found = "".join(
        f"<CommonPrefixes><Prefix>{prefix}{name}/</Prefix></CommonPrefixes>" for name in names
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()


def _own_call(world: World, path: str) -> bytes:
    """What a benchmark asks of this server, and nobody of S3."""
    if path == "/_reset":
        world.reset()
    else:
        world.use(path.removeprefix("/_use/"))
    return b""


def _object_call(world: World, request: Request) -> Answer:
    upload_id = request.query.get("uploadId", [""])[0]
    kept = {name: value for name, value in request.headers.items() if name.startswith(KEPT)}
    if request.method == "POST" and "uploads" in request.query:
        upload_id = f"upload-{len(world.uploads)}"
        world.uploads[upload_id] = (kept, {})
        xml = f"<InitiateMultipartUploadResult><UploadId>{upload_id}</UploadId>"
        return 200, {}, f"{xml}</InitiateMultipartUploadResult>".encode()
    if request.method == "PUT" and upload_id:
        number = int(request.query["partNumber"][0])
        world.uploads[upload_id][1][number] = Stored(request.size, request.body, {})
        return 200, {"etag": f'"{number}"'}, b""
    if request.method == "POST" and upload_id:
        kept, parts = world.uploads.pop(upload_id)
        whole = [parts[number] for number in sorted(parts)]
        body = None if world.discard else b"".join(part.body or b"" for part in whole)
        world.objects[request.path] = Stored(sum(part.size for part in whole), body, kept)
        xml = "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
        return 200, {}, xml.encode()
    return (_put if request.method == "PUT" else _read)(world, request, kept)


def _put(world: World, request: Request, kept: dict[str, str]) -> Answer:
    asked = kept.get("x-amz-checksum-sha256")
    if asked and request.body is not None:
        found = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
        if found != asked:
            return 400, {}, b"<Error><Code>BadDigest</Code><Message>no</Message></Error>"
    if request.path in world.objects and request.headers.get("if-none-match") == "*":
        return 412, {}, b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>"
    world.objects[request.path] = Stored(request.size, request.body, kept)
    return 200, {"etag": '"x"'}, b""


def _read(world: World, request: Request, _kept: dict[str, str]) -> Answer:
    stored = world.objects.get(request.path)
    if stored is None:
        return 404, {}, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"
    headers = {**stored.headers, "x-amz-version-id": "v1"}
    if "tagging" in request.query:
        return 200, headers, b"<Tagging><TagSet></TagSet></Tagging>"
    if request.headers.get("x-amz-checksum-mode", "").upper() != "ENABLED":
        headers.pop("x-amz-checksum-sha256", None)
    if request.method == "HEAD":
        return 200, {**headers, "content-length": str(stored.size), "etag": '"x"'}, b""
    return 200, {**headers, "etag": '"x"'}, stored.body or b""


class CallError(Exception):
    """An answer to a JSON call that is an error: its code, and its message."""


def _json_call(world: World, request: Request) -> Answer:
    target = request.headers.get("x-amz-target", "")
    if b"Action=GetCallerIdentity" in (request.body or b""):
        caller = f"<Account>{ACCOUNT}</Account><Arn>{CALLER}</Arn>"
        identity = f"<GetCallerIdentityResult>{caller}</GetCallerIdentityResult>"
        xml = f"<GetCallerIdentityResponse>{identity}</GetCallerIdentityResponse>"
        return 200, {}, xml.encode()
    body = json.loads(request.body or b"{}")
    answers: dict[str, Callable[[Any], Any]] = {
        "AmazonSSM.GetParametersByPath": partial(_parameters, world),
        **world.calls,
    }
    if target not in answers:
        return 400, {}, json.dumps({"__type": "UnknownOperationException"}).encode()
    try:
        return 200, {}, json.dumps(answers[target](body)).encode()
    except CallError as error:
        code, message = error.args
        return 400, {}, json.dumps({"__type": code, "message": message}).encode()


def _parameters(world: World, body: Any) -> Any:
    path = body["Path"].rstrip("/") + "/"
    return {
        "Parameters": [
            {"Name": name, "Value": value, "Type": "String"}
            for name, value in world.parameters.items()
            if name.startswith(path)
        ]
    }


class Connection(asyncio.BufferedProtocol):
    """One HTTP/1.1 connection: heads into a small buffer, bodies straight to where they stay."""

    def __init__(self, world: World, scratch: bytearray) -> None:
        self._world = world
        self._scratch = scratch
        self._transport: Any = None
        self._head = bytearray(HEAD_LIMIT)
        self._filled = 0
        self._request: Request | None = None
        self._body = bytearray()
        self._missing = 0
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        if self._request is None:
            return memoryview(self._head)[self._filled :]
        if self._discards:
            return memoryview(self._scratch)[: min(self._missing, len(self._scratch))]
        return memoryview(self._body)[len(self._body) - self._missing :]

    @property
    def _discards(self) -> bool:
        request = self._request
        return (
            self._world.discard
            and request is not None
            and request.method == "PUT"
            and "if-none-match" not in request.headers  # what is written once is read again
        )

    def buffer_updated(self, nbytes: int) -> None:
        if self._request is None:
            self._filled += nbytes
            self._read_head()
            return
        self._missing -= nbytes
        if not self._missing:
            self._finish()
        elif self._world.rate:
            self._pace()

    def _pace(self) -> None:
        """Read no faster than the link would carry."""
        assert self._request is not None
        loop = asyncio.get_running_loop()
        due = self._began + (self._request.size - self._missing) / self._world.rate
        if due > loop.time() + 0.002:
            self._transport.pause_reading()
            loop.call_at(due, self._resume)

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _read_head(self) -> None:
        end = self._head.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            return
        first, *lines = self._head[:end].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        url = urlsplit(target)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        size = int(headers.get("content-length", "0"))
        query = parse_qs(url.query, keep_blank_values=True)
        self._request = Request(method, unquote(url.path), query, headers, size=size)
        self._began = asyncio.get_running_loop().time()
        early = self._head[end + 4 : self._filled]
        self._filled = 0
        if headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._missing = size - len(early)
        if not self._discards:
            self._body = bytearray(size)
            self._body[: len(early)] = early
        if not self._missing:
            self._finish()

    def _finish(self) -> None:
        request = self._request
        assert request is not None
        if not self._discards:
            request.body, self._body = bytes(self._body), bytearray()
        loop = asyncio.get_running_loop()
        wait = self._world.delay
        if self._world.rate:
            wait += max(0.0, self._began + request.size / self._world.rate - loop.time())
        self._request = None
        reply = self._encode(request, answer(self._world, request))
        if wait:
            loop.call_later(wait, self._write, reply)
        else:
            self._write(reply)

    def _write(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)

    @staticmethod
    def _encode(request: Request, reply: Answer) -> bytes:
        status, headers, body = reply
        lines = [f"HTTP/1.1 {status} x"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if "content-length" not in headers:
            lines.append(f"content-length: {len(body)}")
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return head if request.method == "HEAD" else head + body


async def start(world: World) -> asyncio.Server:
    """Serve the world on a free port of 127.0.0.1."""
    scratch = bytearray(1 << 20)
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(world, scratch), "127.0.0.1", 0)


async def serve(world: World) -> None:
    server = await start(world)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--discard", action="store_true")
    parser.add_argument("--home", default="eu-central-1")
    parser.add_argument("--parameters", type=json.loads, default={})
    asyncio.run(serve(World(**vars(parser.parse_args()))))
