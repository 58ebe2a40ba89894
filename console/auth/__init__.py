"""Authentication and authorisation of the console: passwords, sessions, API tokens, roles, CSRF, lock-out."""

from console.auth.users import Role, User, current_user, require, require_all_cameras

__all__ = ["Role", "User", "current_user", "require", "require_all_cameras"]
