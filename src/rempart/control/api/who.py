"""Who a request comes from, as the gate before every route found out."""

from typing import Annotated

from fastapi import Depends, Request

from rempart.control.actions.operator import LOCAL, Operator
from rempart.domain.keys import Principal


async def operator_of(request: Request) -> Operator:
    """The operator behind a request, with the address for the audit log."""
    principal: Principal = request.state.principal
    is_local = principal.id.startswith(LOCAL)
    return Operator.of(principal, "" if is_local or request.client is None else request.client.host)


Who = Annotated[Operator, Depends(operator_of)]
