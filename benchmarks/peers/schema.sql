CREATE TABLE tasks (
  id uuid PRIMARY KEY,
  user_id text NOT NULL,
  title text NOT NULL,
  completed boolean NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  version integer NOT NULL
);
CREATE INDEX tasks_in_order ON tasks (user_id, created_at DESC, id DESC);
