"""Programs written for openai 1.x work unchanged; the old client lives in an environment of its own."""

import json
import subprocess
from pathlib import Path

from lab.server import ADMIN_KEY, RempartServer

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-openai1" / "bin" / "python"


def test_a_program_of_2024_works(demo_server: RempartServer) -> None:
    if not (ROOT / ".venv-openai1" / ".stamps" / "openai1").exists():  # `make test` has made it
        subprocess.run(
            ["make", ".venv-openai1/.stamps/openai1"], cwd=ROOT, check=True, capture_output=True
        )
    done = subprocess.run(
        [PYTHON, "lab/openai1_calls.py", f"{demo_server.url}/v1", ADMIN_KEY, "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["version"].startswith("1.")
    assert found["content"] == found["streamed"]
    assert found["total_tokens"] > 0
    assert found["models"] == ["demo", "vectors"]
    assert found["errors"] == [
        ["NotFoundError", "model_not_found", True],
        ["BadRequestError", "invalid_request", True],
        ["AuthenticationError", "invalid_api_key", True],
        ["APIError", "timeout", True],
    ]
