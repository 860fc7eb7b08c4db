"""Clients of every kind that a metric counts, good and bad."""

import http.client
import socket
import ssl
import threading
import time


class Traffic:
    """Sends requests from threads of its own until `stop`."""

    def __init__(self, site, http_port, https_port, stream_port):
        self.site, self.http, self.https, self.stream = site, http_port, https_port, stream_port
        self.ended = threading.Event()
        self.sent = 0
        clients = [self.plain, self.slow, self.errors, self.bad, self.tls, self.change, self.leaving, self.tcp]
        clients += [self.crowd] * 3
        self.threads = [threading.Thread(target=self.repeat, args=(client,), daemon=True) for client in clients]
        for thread in self.threads:
            thread.start()

    def stop(self):
        """Ends all clients."""
        self.ended.set()
        for thread in self.threads:
            thread.join(10)

    def repeat(self, client):
        """A client that fails tries again: a refused connection may be what it wants to see."""
        while not self.ended.is_set():
            try:
                client()
            except (OSError, http.client.HTTPException):
                pass
            self.ended.wait(0.05)

    def get(self, connection, path, host="shop.test", method="GET"):
        """One request; its answer is read."""
        connection.request(method, path, headers={"Host": host}, body=b"x" if method in ("POST", "PUT") else None)
        connection.getresponse().read()
        self.sent += 1

    def connection(self):
        """A new connection in plain text."""
        return http.client.HTTPConnection("127.0.0.1", self.http, timeout=15)

    def plain(self):
        """What an ordinary day looks like."""
        connection = self.connection()
        for path, method in (("/a", "GET"), ("/b", "POST"), ("/c", "HEAD"), ("/flaky/a", "GET"), ("/flaky", "PUT")):
            self.get(connection, path, method=method)
        self.get(connection, "/path", host="moving.test")
        self.get(connection, "/a", method="BREW")
        connection.close()

    def slow(self):
        """Requests above every bucket but the last ones."""
        self.get(self.connection(), "/sleep/3")

    def crowd(self):
        """More than a Service with limits takes."""
        self.get(self.connection(), "/tight")

    def tcp(self):
        """A service of TCP, through the gateway's own port for it."""
        self.get(http.client.HTTPConnection("127.0.0.1", self.stream, timeout=15), "/a")

    def errors(self):
        """Every class of status, from endpoints and from the gateway itself."""
        connection = self.connection()
        for path in ("/status/301", "/status/404", "/status/500", "/status/503", "/gone", "/empty", "/lost"):
            self.get(connection, path)
        for host in ("unknown.test", "broken.test", "orphan.test"):
            self.get(connection, "/", host=host)
        connection.close()

    def bad(self):
        """What is refused before it has a rule."""
        for head in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
                     b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", self.http), 5) as stream:
                stream.sendall(head)
                stream.recv(1024)

    def tls(self):
        """Both versions, both protocols, full and resumed, and handshakes that fail."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for protocol in ("http/1.1", "h2"):
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                context.minimum_version = context.maximum_version = version
                context.set_alpn_protocols([protocol])
                session = None
                for _ in range(2):
                    with socket.create_connection(("127.0.0.1", self.https), 5) as tcp:
                        with context.wrap_socket(tcp, server_hostname="shop.test", session=session) as stream:
                            if protocol == "http/1.1":
                                stream.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
                                stream.recv(4096)
                            session = stream.session
        with socket.create_connection(("127.0.0.1", self.https), 5) as tcp:
            tcp.sendall(b"GET / HTTP/1.1\r\n\r\n")
            tcp.recv(1024)

    def change(self):
        """New objects, so that tables are built while requests come."""
        self.site.change()
        self.ended.wait(0.5)

    def leaving(self):
        """Clients that do not wait for their answer."""
        with socket.create_connection(("127.0.0.1", self.http), 5) as stream:
            stream.sendall(b"GET /sleep/2 HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            time.sleep(0.3)
