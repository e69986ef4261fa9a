"""The image's health check: does this container's Ray node live, and does it reach its head?

In: nothing. Out: exit code 0 where the node's own agent answers that all is well, 1 otherwise, with
a line that says why. The port is Ray's default, or AUTORESEARCH_HEALTH_PORT where `ray start` was
given another --dashboard-agent-listen-port. Ray answers this one address without a token.

It imports nothing of Ray: that would cost two seconds of CPU at each check, beside a trial.
"""

import os
import sys
import urllib.error
import urllib.request

AGENT_PORT = 52365
SECONDS = 4.0  # below the 5 s after which the engine gives up, so that the reason is told

# A proxy in the environment is for the network, never for this container's own loopback.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
port = os.environ.get("AUTORESEARCH_HEALTH_PORT", str(AGENT_PORT))
try:
    with opener.open(f"http://127.0.0.1:{port}/api/healthz", timeout=SECONDS) as answer:
        print(answer.read(200).decode("utf-8", "replace"))
except (OSError, urllib.error.URLError) as error:
    print(f"the Ray node does not answer on port {port}: {error}")
    sys.exit(1)
