"""An RTSP server (GStreamer) that streams files in real time, for tests and measurements.

    /usr/bin/python3 evaluation/rtsp_server.py PORT NAME=FILE [NAME=FILE ...]

It needs Debian's python3-gi, gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-base, -good and -bad, which only the
system's own Python sees. Files are MP4 with H.264, or H.265 where NAME says h265; each is at rtsp://127.0.0.1:PORT/NAME.
Prints "ready" when it listens.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def main() -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    for name, _, path in (argument.partition("=") for argument in sys.argv[2:]):
        kind = "h265" if "h265" in name else "h264"
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(
            f'( filesrc location="{path}" ! qtdemux ! {kind}parse config-interval=-1 ! rtp{kind}pay name=pay0 pt=96 )'
        )
        server.get_mount_points().add_factory(f"/{name}", factory)
    if not server.attach(None):
        sys.exit(f"port {sys.argv[1]}: in use; choose another")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
