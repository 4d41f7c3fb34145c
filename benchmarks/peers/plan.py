"""The stack of the plan, as its documentation shows it: FastAPI, SQLModel, a session for each request, python-jose.

From the environment: DATABASE_URL, BETTER_AUTH_SECRET, PORT.
"""

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, status
from jose import JWTError, jwt
from sqlalchemy import DateTime
from sqlmodel import Field, Session, SQLModel, col, create_engine, select

# As many connections as FastAPI has threads: with fewer, threads and sessions come to wait for one another.
engine = create_engine(os.environ["DATABASE_URL"], pool_size=40)
api = FastAPI()


def now() -> datetime:
    return datetime.now(UTC)


class NewTask(SQLModel):
    title: str = Field(min_length=1, max_length=500)


class Change(SQLModel):
    title: str | None = Field(default=None, min_length=1, max_length=500)
    completed: bool | None = None


class Task(SQLModel, table=True):
    __tablename__ = "tasks"

    id: uuid.UUID = Field(default_factory=uuid.uuid4, primary_key=True)
    user_id: str
    title: str
    completed: bool = False
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    version: int = 1


def session() -> Iterator[Session]:
    with Session(engine) as opened:
        yield opened


def caller(authorization: Annotated[str, Header()] = "") -> str:
    try:
        claims = jwt.decode(authorization.removeprefix("Bearer "), os.environ["BETTER_AUTH_SECRET"], ["HS256"])
        return str(claims["sub"])
    except (JWTError, KeyError):
        raise HTTPException(status.HTTP_401_UNAUTHORIZED) from None


Db = Annotated[Session, Depends(session)]
Caller = Annotated[str, Depends(caller)]


def own(db: Session, task_id: uuid.UUID, who: str) -> Task:
    task = db.get(Task, task_id)
    if task is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    if task.user_id != who:
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    return task


def kept(db: Session, task: Task) -> Task:
    db.add(task)
    db.commit()
    db.refresh(task)
    return task


@api.get("/api/tasks", response_model=list[Task])
def whole_list(db: Db, who: Caller, limit: int | None = None) -> list[Task]:
    wanted = select(Task).where(Task.user_id == who).order_by(col(Task.created_at).desc(), col(Task.id).desc())
    return list(db.exec(wanted.limit(limit)).all())


@api.post("/api/tasks", status_code=status.HTTP_201_CREATED, response_model=Task)
def create(new: NewTask, db: Db, who: Caller) -> Task:
    return kept(db, Task(user_id=who, title=new.title))


@api.get("/api/tasks/{task_id}", response_model=Task)
def read(task_id: uuid.UUID, db: Db, who: Caller) -> Task:
    return own(db, task_id, who)


@api.patch("/api/tasks/{task_id}", response_model=Task)
def change(task_id: uuid.UUID, wanted: Change, db: Db, who: Caller) -> Task:
    task = own(db, task_id, who)
    task.sqlmodel_update(wanted.model_dump(exclude_unset=True))
    task.updated_at = now()
    task.version += 1
    return kept(db, task)


if __name__ == "__main__":
    uvicorn.run(api, port=int(os.environ["PORT"]), log_level="warning", access_log=False)
