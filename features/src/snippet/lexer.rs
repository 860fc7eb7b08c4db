//! nginx's configuration syntax: words, quotes, blocks and comments.

/// A directive: its words, and a block if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) words: Vec<String>,
    pub(super) block: Option<Vec<Self>>,
}

/// Blocks within blocks.
const DEPTH: usize = 8;

/// Reads a text.
///
/// # Errors
/// What is wrong; completes "the value ...".
pub(super) fn directives(text: &str) -> Result<Vec<Directive>, String> {
    let mut tokens = tokens(text)?.into_iter();
    let list = block(&mut tokens, 0)?;
    match tokens.next() {
        None => Ok(list),
        Some(_) => Err("has a closing brace too many".to_owned()),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    End,
    Open,
    Close,
}

fn block(tokens: &mut std::vec::IntoIter<Token>, depth: usize) -> Result<Vec<Directive>, String> {
    if depth > DEPTH {
        return Err("has too many blocks within blocks".to_owned());
    }
    let mut list = Vec::new();
    let mut words = Vec::new();
    loop {
        match tokens.next() {
            Some(Token::Word(word)) => words.push(word),
            Some(Token::End) if words.is_empty() => {}
            Some(Token::End) => list.push(Directive { words: std::mem::take(&mut words), block: None }),
            Some(Token::Open) if words.is_empty() => return Err("has a brace without a directive".to_owned()),
            Some(Token::Open) => {
                let inner = block(tokens, depth + 1)?;
                list.push(Directive { words: std::mem::take(&mut words), block: Some(inner) });
            }
            Some(Token::Close) if depth > 0 && words.is_empty() => return Ok(list),
            None if depth == 0 && words.is_empty() => return Ok(list),
            Some(Token::Close) if depth == 0 => return Err("has a closing brace too many".to_owned()),
            Some(Token::Close) => return Err("has a directive without a semicolon".to_owned()),
            None if words.is_empty() => return Err("has a block that does not end".to_owned()),
            None => return Err("has a directive without a semicolon".to_owned()),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            // `${name}` is part of a word, as are quotes within one.
            '{' if word.as_ref().is_some_and(|word| word.ends_with('$')) => {
                let word = word.get_or_insert_default();
                word.push(c);
                for c in rest.by_ref() {
                    word.push(c);
                    if c == '}' {
                        break;
                    }
                }
            }
            '"' | '\'' if word.is_none() => tokens.push(Token::Word(quoted(c, &mut rest)?)),
            '#' if word.is_none() => while rest.next_if(|c| *c != '\n').is_some() {},
            '\\' => word.get_or_insert_default().extend(['\\'].into_iter().chain(rest.next())),
            ';' | '{' | '}' => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(match c {
                    ';' => Token::End,
                    '{' => Token::Open,
                    _ => Token::Close,
                });
            }
            c if c.is_ascii_whitespace() => tokens.extend(word.take().map(Token::Word)),
            c => word.get_or_insert_default().push(c),
        }
    }
    tokens.extend(word.map(Token::Word));
    Ok(tokens)
}

fn quoted(quote: char, rest: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let mut word = String::new();
    while let Some(c) = rest.next() {
        match c {
            c if c == quote => return Ok(word),
            '\\' => match rest.next() {
                Some(c @ ('"' | '\'' | '\\')) => word.push(c),
                Some('n') => word.push('\n'),
                Some('t') => word.push('\t'),
                Some('r') => word.push('\r'),
                Some(c) => word.extend(['\\', c]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err("has a quote that does not end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        directives(text).unwrap().into_iter().map(|directive| directive.words).collect()
    }

    #[test]
    fn words_quotes_and_comments_are_nginxs() {
        let text = "# a comment;\nadd_header X-A \"b; 'c' \\\"d\\\"\" always; set $a ${host}x;\n\nreturn 200 'it';";
        let want = [
            vec!["add_header", "X-A", "b; 'c' \"d\"", "always"],
            vec!["set", "$a", "${host}x"],
            vec!["return", "200", "it"],
        ];
        assert_eq!(words(text), want);
    }

    #[test]
    fn blocks_nest() {
        let list = directives("if ($a = b) { return 403; } set $b 1;").unwrap();
        assert_eq!(list[0].words, ["if", "($a", "=", "b)"]);
        assert_eq!(list[0].block.as_ref().unwrap()[0].words, ["return", "403"]);
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn what_does_not_end_is_told() {
        for text in ["return 403", "if (a) { return 403;", "}", "set $a 'b;", "{ }", "if (a) { return 403 }"] {
            assert!(directives(text).is_err(), "{text}");
        }
        assert!(directives(&"if (a) { ".repeat(10_000)).is_err());
    }
}
