"""Whether the server of this container answers; for health checks, where no curl is.

    facepool-health [/health | /ready] [PORT]

``/health``: the process answers. ``/ready``: it can also read its pool. Exit code 0 or 1, and what was answered.
"""

import sys
import urllib.error
import urllib.request

PATIENCE_S = 4


def main() -> int:
    """Ask this machine's server, over http or over https with whatever certificate it has."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/health"
    port = sys.argv[2] if len(sys.argv) > 2 else "8000"
    try:
        answer = _ask(f"http://127.0.0.1:{port}{path}")
    except urllib.error.HTTPError as error:
        print(error.read().decode(errors="replace"))
        return 1
    except OSError:  # it speaks TLS, or nobody listens
        try:
            answer = _ask(f"https://127.0.0.1:{port}{path}")
        except OSError as error:
            print(f"nobody answers at port {port}: {error}")
            return 1
    print(answer)
    return 0


def _ask(address: str) -> str:
    context = None
    if address.startswith("https:"):
        import ssl  # noqa: PLC0415 -- slow to load, and mostly not needed

        context = ssl.create_default_context()
        context.check_hostname = False  # it is this machine itself
        context.verify_mode = ssl.CERT_NONE
    with urllib.request.urlopen(address, timeout=PATIENCE_S, context=context) as answer:  # noqa: S310 -- http or https
        return str(answer.read(4096).decode(errors="replace"))


if __name__ == "__main__":
    sys.exit(main())
