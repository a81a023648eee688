// Loaded once before a job arrives, so that Node has already compiled its own code for hooks.
enum Warm {
  Up,
}

module.exports = Warm.Up;
