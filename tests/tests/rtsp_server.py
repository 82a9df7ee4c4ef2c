"""An RTSP server of GStreamer on the loopback address, for tests.

usage: rtsp_server.py PIPELINE USER PASSWORD

Prints its port; serves rtsp://127.0.0.1:PORT/stream to who has user and password.
"""

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
server.get_mount_points().add_factory("/stream", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
