"""From a task file to a task with its jobs: `document` reads it, `files` finds its inputs, `plan` checks every one,
`store` puts all of it into the database at once."""
