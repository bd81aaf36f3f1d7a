"""The databases that SQLAlchemy is tried on, each with the application's tables; and the store of each one's own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, String, create_engine, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The application's tables."""


class Order(Base):
    """What an application writes."""

    __tablename__ = "shop_orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(String(100), unique=True)


ORDER = text("INSERT INTO shop_orders (order_id) VALUES (:order_id)")


@dataclass
class Backend:
    """One database.

    Args:
        name: sqlite, postgresql or mariadb.
        url: for a driver that blocks.
        async_url: for one that does not.
        raw: opens the store of the database's own.

    Attributes:
        directory: of this test.
    """

    name: str
    url: str
    async_url: str
    raw: Callable[[], Any]
    directory: Path = Path()
    _engines: list[Engine] = field(default_factory=list)

    def engine(self, **options: Any) -> Engine:
        """An engine of the application's; disposed of at the end."""
        self._engines.append(create_engine(self.url, **options))
        return self._engines[-1]

    def async_engine(self, **options: Any) -> AsyncEngine:
        """Likewise, for tasks; whoever asks disposes of it."""
        return create_async_engine(self.async_url, **options)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Read what is committed, or change it."""
        engine = create_engine(self.url)
        try:
            with engine.begin() as connection:
                result = connection.execute(text(sql))
                return [tuple(row) for row in result] if result.returns_rows else []
        finally:
            engine.dispose()

    @property
    def orders(self) -> list[str]:
        return [order_id for (order_id,) in self.query(str(select(Order.order_id).order_by(Order.id)))]

    @property
    def claims(self) -> int:
        return int(self.query("SELECT COUNT(*) FROM tocsin_claims")[0][0])

    def close(self) -> None:
        while self._engines:
            self._engines.pop().dispose()
