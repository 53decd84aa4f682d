"""Real servers on loopback: git over http (and TLS) with a password, nginx, ssh with a key, git's own daemon."""

from __future__ import annotations

import base64
import contextlib
import getpass
import http.server
import os
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

USER, PASSWORD = "ada", "enchantress"


class HttpServer(http.server.ThreadingHTTPServer):
    """``git http-backend`` behind basic auth (git-http-backend(1)).

    Attributes:
        root: The folder whose repositories it serves.
        requests: ``METHOD path`` of each request that was let in.
        cut: How many bytes of a push's body to take before the connection is cut, each time; None: all.
        cut_answer: How many bytes of the answer to a POST to send before that; None: all.
        longest: How many bytes an answer may have, before it is cut there; None: as many as it has.
    """

    daemon_threads = True

    def __init__(self, root: Path, certificate: Path | None = None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http"
        if certificate:
            self.scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.root = root
        self.requests: list[str] = []
        self.cut: int | None = None
        self.cut_answer: int | None = None
        self.longest: int | None = None

    def url(self, name: str, password: str = PASSWORD) -> str:
        return f"{self.scheme}://{USER}:{password}@127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no matter."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_GET

    def _serve(self) -> None:
        body = self._body()
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        self.server.requests.append(f"{self.command} {path}")
        if body is None:
            self._hang_up()
            return
        env = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": USER,
            "REMOTE_ADDR": "127.0.0.1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
        self._answer(done.stdout)

    def _body(self) -> bytes | None:
        """The request's body; None where it is to be cut."""
        cut, left = self.server.cut, int(self.headers.get("Content-Length", 0))
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        if cut is not None and self.command == "POST" and not self.path.endswith("git-upload-pack"):
            self.rfile.read(cut if chunked else min(cut, left))
            return None
        if not chunked:
            return self.rfile.read(left)
        body = b""
        while size := int(self.rfile.readline().strip(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, said: bytes) -> None:
        head, _, body = said.partition(b"\r\n\r\n")
        headers = [line.partition(": ")[::2] for line in head.decode("latin-1").split("\r\n")]
        status = next((value for name, value in headers if name.lower() == "status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name.lower() not in ("status", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.server.cut_answer
        if self.server.longest is not None and len(body) > self.server.longest:
            cut = self.server.longest
        if cut is not None and self.command == "POST":
            self.wfile.write(body[:cut])
            self._hang_up()
        else:
            self.wfile.write(body)

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def http_server(root: Path, certificate: Path | None = None) -> Iterator[HttpServer]:
    """Serve the repositories below a folder; ``http.receivepack`` is asked of each.

    Args:
        root: The folder.
        certificate: The certificate and its key, for TLS.
    """
    with HttpServer(root, certificate) as server, served(server):
        yield server


@contextlib.contextmanager
def served(server: socketserver.BaseServer) -> Iterator[None]:
    """Let a server of Python's listen meanwhile."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def certificates(folder: Path, name: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    """An authority's certificate, and one (with its key) that it has given to a server on loopback."""

    def openssl(*words: str | Path) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    folder.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=a test's authority")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server")
    (folder / "extensions").write_text(f"subjectAltName={name}\nbasicConstraints=CA:FALSE\n")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions")
    openssl("x509", "-req", "-in", "server.csr", *signed, "-out", "server.pem")
    both = folder / "both.pem"
    both.write_text((folder / "server.pem").read_text() + (folder / "server.key").read_text())
    return folder / "ca.pem", both


def nginx_programs() -> tuple[str, str] | None:
    """nginx and fcgiwrap, where both are installed."""
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    nginx, fcgiwrap = (shutil.which(name, path=path) for name in ("nginx", "fcgiwrap"))
    return (nginx, fcgiwrap) if nginx and fcgiwrap else None


@contextlib.contextmanager
def nginx(programs: tuple[str, str], folder: Path, root: Path, more: str = "") -> Iterator[str]:
    """nginx, with fcgiwrap in front of ``git http-backend``, as whoever runs the test; yields the URL of a folder.

    Args:
        programs: What :func:`nginx_programs` has found.
        folder: An empty one for its files.
        root: The folder whose repositories it serves.
        more: More lines for its configuration.
    """
    port, behind = free_port(), free_port()
    folder.mkdir(exist_ok=True)
    backend = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    password = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True)
    (folder / "passwords").write_text(f"{USER}:{password.stdout}")
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, behind=behind, backend=backend, root=root, more=more,
                                    user="user root;" if os.getuid() == 0 else ""))  # fmt: skip
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    commands = [
        (behind, [programs[1], "-c", "2", "-s", f"tcp:127.0.0.1:{behind}"]),
        (port, [programs[0], "-e", str(folder / "errors"), "-p", str(folder), "-c", str(config)]),
    ]
    with contextlib.ExitStack() as running:
        for where, command in commands:
            child = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, start_new_session=True)
            running.callback(_end, child)
            wait_for(where, child)
        yield f"http://{USER}:{PASSWORD}@127.0.0.1:{port}"


_NGINX = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/errors;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        auth_basic git;
        auth_basic_user_file {folder}/passwords;
        {more}
        location / {{
            fastcgi_pass 127.0.0.1:{behind};
            fastcgi_param SCRIPT_FILENAME {backend}/git-http-backend;
            fastcgi_param GIT_PROJECT_ROOT {root};
            fastcgi_param GIT_HTTP_EXPORT_ALL 1;
            fastcgi_param PATH_INFO $uri;
            fastcgi_param QUERY_STRING $args;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
            fastcgi_param GIT_PROTOCOL $http_git_protocol;
            fastcgi_param REMOTE_USER $remote_user;
            fastcgi_param REMOTE_ADDR $remote_addr;
        }}
    }}
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(port: int, child: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        assert child.poll() is None, "the server has ended"
        time.sleep(0.02)
    raise AssertionError("the server does not answer")


@contextlib.contextmanager
def git_daemon(root: Path, *options: str) -> Iterator[str]:
    """``git daemon`` (git-daemon(1)); yields the URL of the folder."""
    port = free_port()
    words = ["daemon", "--listen=127.0.0.1", f"--port={port}", f"--base-path={root}", "--export-all", "--reuseaddr"]
    child = subprocess.Popen(["git", *words, *options], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(port, child)
        yield f"git://127.0.0.1:{port}"
    finally:
        _end(child)


def sshd_program() -> str | None:
    """OpenSSH's server, where it is installed: it must be started by its whole path."""
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def sshd(program: str, folder: Path, root: Path) -> Iterator[tuple[str, str]]:
    """``sshd`` with a key of its own; yields the URL of a folder, and what ``GIT_SSH_COMMAND`` has to be."""
    port = free_port()
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    config = folder / "config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile {folder}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv PATH={os.environ['PATH']}\n"
    )
    if os.getuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # as its unit file would
    child = subprocess.Popen([program, "-D", "-q", "-f", str(config)], start_new_session=True)
    options = f"-F /dev/null -i {folder}/user -o IdentitiesOnly=yes -o UserKnownHostsFile={folder}/known"
    try:
        wait_for(port, child)
        known = f"[127.0.0.1]:{port} " + (folder / "host.pub").read_text()
        (folder / "known").write_text(known)
        yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}{root}", f"ssh {options}"
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)  # fcgiwrap leaves its children alone
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
