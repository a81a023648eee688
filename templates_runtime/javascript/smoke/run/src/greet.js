export const greet = (name, line) => `Hello, ${name}: ${line}`;
