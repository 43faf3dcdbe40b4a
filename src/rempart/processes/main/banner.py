"""What a person reads when the server is ready: the address, and a command that works when pasted."""

import json
import shlex

from rempart.state.bootstrap import AdminKey


def ready_lines(
    address: str, control_address: str, model: str, admin: AdminKey | None, log_file: str
) -> list[str]:
    """A few tidy lines for the console.

    The key itself is shown once, at the start that made it; afterwards the command reads it from its
    file, so that it stands in no scroll-back and still works. Once it was rotated nobody here knows it.
    """
    if admin is None:
        header = '-H "Authorization: Bearer $REMPART_API_KEY"'
    elif admin.file is None:
        header = '-H "Authorization: Bearer $REMPART_ADMIN_KEY"'
    else:
        header = f'-H "Authorization: Bearer $(cat {shlex.quote(str(admin.file))})"'
    # Bounded, since a small model may talk on until the request's time is up.
    messages = '[{"role": "user", "content": "Say hello in French."}]'
    body = f'{{"model": {json.dumps(model)}, "max_tokens": 60, "messages": {messages}}}'
    lines = [
        "",
        f"  Rempart is ready   {address}/v1   (model: {model or 'none'})",
        f"  Control            {control_address}",
        f"  Log                {log_file or 'console only'}",
    ]
    if admin is not None and admin.is_new:
        lines.append(
            f"  Admin key          {admin.secret.reveal()}   (kept in {admin.file}; not shown again)"
        )
    if model:
        lines += [
            "",
            "  Try it:",
            f"  curl {address}/v1/chat/completions {header} -H 'Content-Type: application/json' -d {shlex.quote(body)}",
        ]
    return [*lines, ""]
