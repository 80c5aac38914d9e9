// How a subscription that lost its connection goes on where it was.
import { Kind, parse, print, visit } from 'graphql';

/** The subscriptions that take `after`, a cursor of an earlier event. */
const FIELDS = ['integrityEvents', 'recordUpdated', 'publicIntegrityEvents', 'notifications', 'accessEvents'];

/** The same operation with `cursor` as its `after`: in the variable that it has for it, or written into it. */
export function goOnAfter({ query, variables, ...rest }, cursor) {
  const moved = { ...variables };
  const document = visit(parse(query), {
    Field(field) {
      if (!FIELDS.includes(field.name.value)) return undefined;
      const given = field.arguments.find((argument) => argument.name.value === 'after');
      if (given?.value.kind === Kind.VARIABLE) {
        moved[given.value.name.value] = cursor;
        return undefined;
      }
      const after = {
        kind: Kind.ARGUMENT,
        name: { kind: Kind.NAME, value: 'after' },
        value: { kind: Kind.STRING, value: cursor },
      };
      return { ...field, arguments: [...field.arguments.filter((argument) => argument !== given), after] };
    },
  });
  return { ...rest, query: print(document), variables: moved };
}
