"""What belongs to whom, and who else may see it."""

from dataclasses import dataclass

from service.auth.identity import Identity, Role

ROLE_WORDS = {role.name.lower(): role for role in Role}


def words_for(caller: Identity) -> tuple[str, ...]:
    """List the words that share things with a caller: the roles that they have, and their name,
    unless it is a role's, which means all who have it.

    Args:
        caller: any.
    """
    roles = [word for word, role in ROLE_WORDS.items() if caller.role and role <= caller.role]
    named = bool(caller.name) and caller.name not in ROLE_WORDS
    return (*roles, caller.name) if named else tuple(roles)


def sees_everything(caller: Identity) -> bool:
    """Tell whether what belongs to others is a caller's too: an admin from whom no name is kept,
    or whoever reaches a server without keys.

    Args:
        caller: any.
    """
    return caller.is_admin and caller.may_name_all


@dataclass(frozen=True)
class Ownership:
    """Whose something is.

    Attributes:
        owner: the name of who made it; "" for nobody in particular, as on a server without keys.
        shared: names of others who may see it, and roles all of whose holders may.
    """

    owner: str = ""
    shared: tuple[str, ...] = ()

    def may_read(self, caller: Identity) -> bool:
        """Tell whether a caller may see it, and use it.

        Args:
            caller: any.
        """
        return self.may_change(caller) or not set(self.shared).isdisjoint(words_for(caller))

    def may_change(self, caller: Identity) -> bool:
        """Tell whether a caller may end or delete it.

        Args:
            caller: any.
        """
        return sees_everything(caller) or bool(caller.name and caller.name == self.owner)
