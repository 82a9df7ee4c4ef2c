"""An RTSP server of GStreamer on the loopback address, for tests and measurements.

usage: rtsp_server.py PIPELINE USER PASSWORD

Prints its port; serves rtsp://127.0.0.1:PORT/stream to who has user and password. On SIGTERM it prints how many frames
the element 'pay0' of the pipeline was given, of all connections together.
"""

import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

pipeline, user, password = sys.argv[1:]
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( {pipeline} )")
permissions = GstRtspServer.RTSPPermissions()
permissions.add_permission_for_role("boat", "media.factory.access", True)
permissions.add_permission_for_role("boat", "media.factory.construct", True)
factory.set_permissions(permissions)
token = GstRtspServer.RTSPToken()
token.set_string("media.factory.role", "boat")
auth = GstRtspServer.RTSPAuth()
auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
auth.add_digest(user, password, token)
server.set_auth(auth)
frames = 0


def count(_pad, _info):
    global frames
    frames += 1
    return Gst.PadProbeReturn.OK


def configured(_factory, media):
    payloader = media.get_element().get_by_name("pay0")
    payloader.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, count)


factory.connect("media-configure", configured)
server.get_mount_points().add_factory("/stream", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
loop = GLib.MainLoop()
GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGTERM, loop.quit)
loop.run()
print(frames, flush=True)
