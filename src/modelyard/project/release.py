"""The `release:` section."""

from pydantic import Field

from modelyard.project.section import Section


class ReleaseSection(Section):
    """Who signs and whom to trust."""

    trusted_keys: list[str] = Field(default_factory=list)
    """Files of public keys (PEM), relative to the project; a release is loaded only when one of them signed it."""
    private_key: str = "keys/private.pem"
    """File of the private key that signs. MODELYARD_PRIVATE_KEY in the environment (the PEM text) goes first."""
