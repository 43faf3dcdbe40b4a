"""The client: ``Pool`` sends requests to one address, a ``Receiver`` gets the answer."""

from rempart.net.http1.client_call import ClientCall
from rempart.net.http1.client_protocol import Receiver
from rempart.net.http1.messages import Headers
from rempart.net.http1.pool import Pool

__all__ = ["ClientCall", "Headers", "Pool", "Receiver"]
