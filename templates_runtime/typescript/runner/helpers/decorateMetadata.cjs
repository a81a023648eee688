module.exports = function decorateMetadata(key, value) {
  return typeof Reflect.metadata === "function" ? Reflect.metadata(key, value) : undefined;
};
