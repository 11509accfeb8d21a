"""The gateway's API: routers without logic, between `model.api`'s JSON and the `Service` of `port`.

app        builds the application
server     serves it on a unix socket or https
context    what every request needs, and who calls
failures   errors as JSON
body       request bodies, bounded
streaming  responses without end, with back-pressure
channels   exec's WebSocket protocol, and its bridge to a runner
openapi    the published description, from the types of `model.api`
"""

from farnode.gateway.http.app import create_app
from farnode.gateway.http.server import Server, serve

__all__ = ["Server", "create_app", "serve"]
