// What of the schema that clients were last promised does not hold any more.
//
// without an argument   says each breaking change of schema.graphql against docs/schema/recorded.graphql, one line each,
//                       in the words of GraphQL's own reference library
// --record              promises schema.graphql as it is now: done with a release
// --served <file>       another schema in the place of schema.graphql
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { buildSchema, findBreakingChanges, parse, print, visit } from 'graphql';

const RECORDED = 'docs/schema/recorded.graphql';

const { values: options } = parseArgs({
  options: { record: { type: 'boolean' }, served: { type: 'string', default: 'schema.graphql' } },
});
const served = readFileSync(options.served, 'utf8');
if (options.record) {
  // Descriptions break nobody.
  const bare = visit(parse(served), {
    enter: (node) => (node.description ? { ...node, description: undefined } : undefined),
  });
  writeFileSync(RECORDED, `${print(bare)}\n`);
} else {
  const recorded = buildSchema(readFileSync(RECORDED, 'utf8'));
  for (const { description } of findBreakingChanges(recorded, buildSchema(served))) console.log(description);
}
