"""The demo: real package descriptions, shipped as two `.lfmt` files, and a tour of Vego with them."""
