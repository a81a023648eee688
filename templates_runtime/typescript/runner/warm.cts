// Loaded once before a job comes, so that Node's way through the hooks is compiled by then.
enum Warm {
  Up,
}

module.exports = Warm.Up;
