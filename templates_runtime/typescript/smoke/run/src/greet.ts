export enum Greeting {
  Hello = "Hello",
}

export function greet(name: string, line: string): string {
  return `${Greeting.Hello}, ${name}: ${line}`;
}
