"""botocore as this bundle uses it: one session, since each would read the same descriptions of AWS's services again."""

from functools import cache

import botocore.session
from botocore.config import Config


@cache
def session() -> botocore.session.Session:
    """The session of every client that a person or Alipay waits for. Its user agent is fixed: botocore would build its
    own twice in each call.
    """
    session = botocore.session.get_session()
    session.set_default_client_config(Config(user_agent="autodebit"))
    return session
