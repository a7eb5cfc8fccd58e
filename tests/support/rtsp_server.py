"""An RTSP camera made of one picture: `python rtsp_server.py PICTURE [PORT]`.

It serves the picture as MPEG-4 (RFC 6416) inside the RTSP connection (RFC 2326, 10.12) at 10 frames
a second, prints the address and goes on until it is killed. FFmpeg makes the packets.
"""

from __future__ import annotations

import socketserver
import sys
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import cv2

RATE = 10
SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=face
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 MP4V-ES/90000
a=control:video
""".replace("\n", "\r\n")
OPTIONS = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"


class Packets:
    """A file that keeps what is written to it, a packet a write."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []

    def write(self, packet: bytes) -> int:
        """Keep a packet."""
        self.waiting.append(bytes(packet))
        return len(packet)


def frames(picture: str) -> Iterator[list[bytes]]:
    """Yield the RTP packets of each frame, without end."""
    image = cv2.imread(picture)
    packets = Packets()
    with av.open(packets, "w", format="rtp", options={"packetsize": "1400"}) as container:
        # Each frame is whole in itself, so that a client may come at any time.
        stream = container.add_stream("mpeg4", rate=RATE, options={"g": "1", "qmax": "2"})
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, RATE)
        frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")
        number = 0
        while True:
            frame.pts = number
            for packet in stream.encode(frame):
                container.mux(packet)
            yield packets.waiting
            packets.waiting = []
            number += 1


class Client(socketserver.StreamRequestHandler):
    """One connection: answers requests until PLAY, then sends frames."""

    def handle(self) -> None:
        """Serve one client until it leaves."""
        while request := self._request():
            method, number, transport = request
            more = ""
            if method == "OPTIONS":
                more = f"Public: {OPTIONS}\r\n"
            elif method == "SETUP" and "TCP" not in transport:
                self._answer(number, status="461 Unsupported Transport")
                continue
            elif method == "SETUP":
                more = f"Transport: {transport}\r\n"
            self._answer(number, more, SDP if method == "DESCRIBE" else "")
            if method == "PLAY":
                self._play()
                break

    def _request(self) -> tuple[str, str, str] | None:
        """Return method, sequence number and transport of the next request."""
        first = self.rfile.readline().decode().split()
        if not first:
            return None
        headers = dict[str, str]()
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return first[0], headers["cseq"], headers.get("transport", "")

    def _answer(self, number: str, more: str = "", body: str = "", status: str = "200 OK") -> None:
        kind = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n" if body else ""
        head = f"RTSP/1.0 {status}\r\nCSeq: {number}\r\nSession: 1\r\n{more}{kind}\r\n"
        self.wfile.write((head + body).encode())

    def _play(self) -> None:
        try:
            for packets in frames(sys.argv[1]):
                for packet in packets:
                    is_control = 200 <= packet[1] <= 204  # RTCP has the channel beside RTP's
                    head = b"$" + bytes([is_control]) + len(packet).to_bytes(2, "big")
                    self.wfile.write(head + packet)
                time.sleep(1 / RATE)
        except ConnectionError:
            pass


class Server(socketserver.ThreadingTCPServer):
    """Takes its old port again at once."""

    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    """Serve until killed."""
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with Server(("127.0.0.1", port), Client) as server:
        print(f"rtsp://127.0.0.1:{server.server_address[1]}/face", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
