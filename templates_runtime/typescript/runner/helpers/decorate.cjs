// The helper that compiled code calls for `experimentalDecorators`.
module.exports = function decorate(decorators, target, key, description) {
  const isClass = arguments.length < 3;
  let result = isClass ? target : description === null ? Object.getOwnPropertyDescriptor(target, key) : description;
  for (const decorator of decorators.toReversed()) {
    result = (isClass ? decorator(result) : decorator(target, key, result)) || result;
  }
  if (!isClass && result) Object.defineProperty(target, key, result);
  return result;
};
