import { stripTypeScriptTypes } from 'node:module';
import { type Node, type Program, parse } from 'acorn';

/** Reads a module of the store and tells which parts of its SQL are not written there letter by letter. */

/** A part of a query's text that is put in when the program runs. */
export interface Insertion {
  /** As it stands in the source. */
  readonly expression: string;
  readonly line: number;
  /** The words before it, for people. */
  readonly after: string;
}

type AnyNode = Node & { readonly [field: string]: unknown };

const isNode = (value: unknown): value is AnyNode =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';

const children = (node: AnyNode): AnyNode[] =>
  Object.values(node).flatMap((value) => (Array.isArray(value) ? value.filter(isNode) : isNode(value) ? [value] : []));

/** Every node below one, itself included, outermost first. */
function* everyNode(node: AnyNode): Generator<AnyNode> {
  yield node;
  for (const child of children(node)) yield* everyNode(child);
}

/** A text that begins as SQL does, or holds a part that does: the store writes its SQL in small letters. */
const SQL =
  /(^|[(;\n]|union all)\s*(select|insert into|delete from|update \S+ set|returning|where|(left )?join|grant|revoke|(create|alter|drop|lock|copy|truncate) \w+|set (local )?\w+ =|with|order by|notify|listen|do \$\$|values \()(\s|\(|$)/;

const isString = (node: AnyNode): boolean => node.type === 'Literal' && typeof node.value === 'string';

/** The letters of a text that stand in the source, and the expressions in between. */
function partsOf(node: AnyNode): { text: string; inserted: AnyNode[] } {
  if (isString(node)) return { text: String(node.value), inserted: [] };
  if (node.type === 'TemplateLiteral') {
    const quasis = (node.quasis as AnyNode[]).map(({ value }) => (value as { readonly raw: string }).raw);
    return { text: quasis.join(' '), inserted: node.expressions as AnyNode[] };
  }
  if (node.type === 'BinaryExpression' && node.operator === '+') {
    const [left, right] = [partsOf(node.left as AnyNode), partsOf(node.right as AnyNode)];
    return { text: `${left.text} ${right.text}`, inserted: [...left.inserted, ...right.inserted] };
  }
  return { text: '', inserted: [node] };
}

/** What a call hands to Postgres as a query's text: `x.query(TEXT, …)` or `x.query({text: TEXT})`. */
function queryText(node: AnyNode): AnyNode | null {
  if (node.type !== 'CallExpression') return null;
  const callee = node.callee as AnyNode;
  const isQuery = callee.type === 'MemberExpression' && (callee.property as AnyNode).name === 'query';
  const [first] = node.arguments as AnyNode[];
  if (!isQuery || !first) return null;
  if (first.type !== 'ObjectExpression') return first;
  const text = (first.properties as AnyNode[]).find(({ key }) => isNode(key) && key.name === 'text');
  return text ? (text.value as AnyNode) : first;
}

/** Names that the module itself gives a value that never changes, or gets from another module. */
function constants(program: Program): Set<string> {
  const names = new Set<string>();
  for (const statement of program.body as unknown as AnyNode[]) {
    const isExport = statement.type === 'ExportNamedDeclaration' && isNode(statement.declaration);
    const declaration = isExport ? (statement.declaration as AnyNode) : statement;
    if (declaration.type === 'VariableDeclaration' && declaration.kind === 'const') {
      for (const { id } of declaration.declarations as AnyNode[]) if (isNode(id)) names.add(String(id.name));
    }
    if (declaration.type === 'ImportDeclaration') {
      for (const { local } of declaration.specifiers as AnyNode[]) if (isNode(local)) names.add(String(local.name));
    }
  }
  return names;
}

const CONSTANT_NAME = /^[A-Z][A-Z0-9_]*$/;
const ESCAPES = /^pg\.escape(Identifier|Literal)$/;

/**
 * The parts of SQL that are neither letters of the source, nor a constant of the program (in capitals, as all of its
 * constants), nor an identifier or a literal that `pg` escapes.
 */
export function insertions(source: string): Insertion[] {
  const program = parse(stripTypeScriptTypes(source), { ecmaVersion: 'latest', sourceType: 'module', locations: true });
  const known = constants(program);
  const said = (node: AnyNode): string => source.slice(node.start, node.end);
  const isSafe = (node: AnyNode): boolean =>
    (node.type === 'Identifier' && CONSTANT_NAME.test(said(node)) && known.has(said(node))) ||
    (node.type === 'CallExpression' && ESCAPES.test(said(node.callee as AnyNode)));
  const found = new Map<number, Insertion>();
  const add = (node: AnyNode, after: string): void => {
    if (isSafe(node)) return;
    const line = node.loc?.start.line ?? 0;
    found.set(node.start, { expression: said(node).replace(/\s+/g, ' '), line, after: after.trim().slice(0, 60) });
  };
  for (const node of everyNode(program as unknown as AnyNode)) {
    const query = queryText(node);
    if (query) for (const inserted of partsOf(query).inserted) add(inserted, 'query(');
    const { text, inserted } = partsOf(node);
    if (inserted[0] !== node && SQL.test(text)) for (const one of inserted) add(one, text);
  }
  return [...found.values()].sort((a, b) => a.line - b.line);
}
