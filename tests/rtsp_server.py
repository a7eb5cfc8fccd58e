"""An RTSP camera made of one picture, by GStreamer; run with the system's Python, which has `gi`.

`python3 rtsp_server.py PICTURE` serves it at 10 frames a second, prints the address and goes on
until it is killed.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

LAUNCH = (
    "( multifilesrc location={picture} loop=true caps=image/jpeg,framerate=10/1 ! jpegdec ! "
    "videoconvert ! jpegenc quality=95 ! rtpjpegpay name=pay0 )"
)


def main() -> None:
    """Serve until killed."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_service(sys.argv[2] if len(sys.argv) > 2 else "0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH.format(picture=sys.argv[1]))
    factory.set_shared(True)
    server.get_mount_points().add_factory("/face", factory)
    server.attach(None)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/face", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
