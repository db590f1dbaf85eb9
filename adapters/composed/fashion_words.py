"""Vocabulary of fashion: kinds of attributes, their values, and synonyms.

A line of a kind holds comma-separated values; ``=`` joins the words for one value, the usual one first. Number, hyphens, case,
British and American spelling and comparatives need no entry: :mod:`e2.spelling` and the lexicon see through them.
"""

WORDS = {
    "colour": "black, white, off white, ivory, cream, beige, nude, taupe, tan, camel, brown, chocolate, khaki, "
    "olive, grey, charcoal, silver, gold = golden, bronze, copper, navy blue = navy, blue, light blue, dark blue, "
    "royal blue, sky blue, baby blue, turquoise, teal, aqua, green, light green, dark green, emerald, sea green, "
    "mint, lime, neon, yellow, mustard, orange, peach, salmon, coral, red, dark red, maroon, burgundy, wine, rust, "
    "pink, rose, light pink, hot pink, magenta, purple, lavender, lilac, violet, mauve, rainbow, metallic, "
    "multicoloured = multi = multi coloured",
    "pattern": "plain = solid = monochrome = monochromatic = unpatterned, "
    "striped = stripes = stripy = pinstriped = pinstripe, checked = checks = checkered, plaid = tartan, gingham, "
    "floral = flowers = flowered = flowery = floral print, polka dots = polka dot = dotted = dots = polka dotted, "
    "spotted = spots, paisley, leopard = leopard print = cheetah, zebra, tiger, animal print = animal, snake print, "
    "camouflage = camo, tie dye = tie dyed, geometric, abstract, printed = print = prints, patterned = pattern, "
    "houndstooth, argyle, colour block = colour blocked, herringbone, chevron, tropical, hawaiian, ombre, quilted",
    "motif": "logo = branding = emblem, graphic = graphics = graphic print, embroidery = embroidered, "
    "cartoon = cartoonish, picture = image, "
    "text = writing = lettering = letters = words = written = wording = wordy = slogan, skull, star, heart, flag, "
    "butterfly, bird, badge, patch, character, photo print, face",
    "sleeves": "sleeveless = no sleeves, strapless = no straps, spaghetti straps = spaghetti strap, "
    "long sleeves = long sleeve = long sleeved = full sleeves, short sleeves = short sleeve = short sleeved, "
    "three quarter sleeves = 3/4 sleeves, half sleeves, cap sleeves = cap sleeve = capped sleeves, puff sleeves, "
    "bell sleeves, elbow length sleeves, rolled sleeves",
    "length": "mini, midi, maxi, knee length, ankle length, floor length = full length, cropped, long = lengthy, short",
    "material": "cotton, denim, leather, faux leather, suede, silk = silky, satin, linen, wool = woollen = woolly, "
    "cashmere, fleece, velvet, lace = lacy, chiffon, polyester, nylon, knit = knitted, corduroy, tweed, fur = furry, "
    "faux fur, shearling, canvas, mesh, jersey, viscose, rayon, spandex, sequins = sequined = sequinned, tulle, "
    "crochet, flannel, rubber, metal, jute",
    "neckline": "v neck = v necked = vneck, crew neck, round neck, scoop neck, boat neck, turtleneck = turtle neck, "
    "high neck, halter = halter neck, off shoulder = off the shoulder, one shoulder, polo neck, square neck, "
    "cowl neck, mandarin collar, sweetheart neckline",
    "fit": "slim, tight, fitted = fitting = form fitting, loose, baggy, oversized, relaxed, flared, draped, "
    "flowing = flowy, boxy, structured, straight",
    "style": "casual, formal, sporty = athletic, elegant, dressy, business, vintage, bohemian = boho, "
    "feminine = girly, masculine = manly, party, ethnic, modest = conservative, revealing, sexy, simple, fancy, "
    "trendy, gothic, western, preppy, professional, classy, whimsical, colourful",
    "shade": "dark, light, bright, pale, pastel, vibrant, faded, muted",
    "size": "big, large, small, tiny, huge",
    "weight": "thick, thin, heavy, lightweight, warm, soft",
    "width": "wide, narrow",
    "height": "high, low, deep",
    "surface": "shiny, matt = matte, sheer = see through = transparent, opaque, sparkly = glittery",
    "season": "spring = spring time, summer = summery, autumn, fall, winter = wintery",
    "gender": "men = male = guys = gents = gentlemen = for him = for my husband = for my boyfriend, "
    "women = female = ladies = lady = for her = for my wife = for my girlfriend, boys = for my son, "
    "girls = for my daughter, kids = children = toddlers, babies = infants, unisex = gender neutral = everyone",
    "garment": "tshirt = tee shirt, shirt, blouse, top, tank top = tank, tunic, hoodie, sweatshirt, sweater, jumper, "
    "pullover, cardigan, jacket, coat, overcoat, parka, blazer, vest = waistcoat, camisole, dress = frock, gown, "
    "skirt, trousers, pants, jeans, leggings, shorts, jumpsuit, romper, sneakers = trainers, shoes, boots, heels, "
    "pumps, loafers, sandals, flats, flip flops, bag, tote bag = tote, handbag = purse, backpack = rucksack, clutch, "
    "wallet, belt, tie, scarf, hat, cap, watch, sunglasses, socks, gloves, saree = sari, kurta, polo = polo shirt, "
    "swimsuit, bikini, suit, pyjamas",
    "part": "hood = hooded, pockets = pocket = pocketed, buttons = button = buttoned = button up = button down, "
    "zip = zipper = zipped = zips, collar = collared, cuffs = cuffed, sleeves = sleeve = sleeved, "
    "straps = strap = strappy, belt loops, bow, ruffles = ruffled = frills = frilly = frilled, "
    "fringe = fringed = tassels, pleats = pleated, slit, lining = lined, trim = piping, drawstring, "
    "laces = laced = lace up, buckle = buckled, handle, heel, sole, studs = studded, beads = beaded, peplum, ribbon, "
    "rhinestones, feathers, waist = waistline, hem = hemline, cutout = cut out, shoulder pads, elastic, velcro, "
    "wrap = wrapped, tiers = tiered = layered = layers, empire waist, accents, belted",
}
ADDED = ("part", "motif")  # kinds of which a product may have several: none replaces another
PLACED_BEHIND = (*ADDED, "sleeves", "neckline")  # kinds named after the garment: "Shirt with a hood"
NOUNS = (  # words for a pattern that are things of their own: "white stripes" are no white shirt
    *("stripes", "stripe", "checks", "check", "flowers", "flower", "dots", "dot", "spots", "spot"),
    *("prints", "print", "patterns", "pattern", "pinstripes", "pinstripe"),
)
PLAIN, ANY_PATTERN = "plain", ("patterned", "printed")  # no pattern; all patterns
LEAVES = {
    "sleeves": "sleeveless",
    "straps": "strapless",
}  # wording that a text encoder understands better than "without sleeves"
HOLDS = {"hood": {"hoodie": "sweatshirt"}}  # garments defined by the part, and what they are without it
_OPPOSITES = (
    "long = short, short = long, mini = long, maxi = short, cropped = long, long sleeves = short sleeves, "
    "short sleeves = long sleeves, dark = light, light = dark, bright = pale, vibrant = pale, pale = bright, "
    "faded = bright, tight = loose, slim = loose, fitted = loose, loose = fitted, baggy = slim, oversized = fitted, "
    "boxy = fitted, big = small, large = small, huge = small, small = large, tiny = large, wide = narrow, "
    "narrow = wide, high = low, low = high, thick = thin, thin = thick, heavy = lightweight, warm = lightweight, "
    "lightweight = warm, shiny = matt, sheer = opaque, sparkly = matt, formal = casual, casual = formal, "
    "sporty = elegant, elegant = casual, dressy = casual, fancy = simple, simple = fancy, revealing = modest, "
    "sexy = modest, modest = revealing, feminine = masculine, masculine = feminine, colourful = plain, "
    "plain = patterned, patterned = plain, printed = plain"
)
# a quality -> what it becomes when it is not wanted
OPPOSITES = dict(pair.split(" = ") for pair in _OPPOSITES.split(", "))
ENTITIES = {  # names of a kind in catalogues
    "colour": ("colour", "color", "base_colour", "base_color", "colors", "colours"),
    "material": ("material", "composition", "fabric", "materials"),
    "garment": ("sub_category", "subcategory", "category", "article_type", "type", "product_type"),
    "pattern": ("pattern", "print"),
    "sleeves": ("sleeves", "sleeve", "sleeve_length"),
    "neckline": ("neckline", "neck"),
    "gender": ("gender", "target", "audience", "age_group"),
}
PROPERTIES = {  # words for a kind itself: "in another colour"
    "colour": "colour color colours colors coloured colored colouring shade tone",
    "material": "material fabric cloth",
    "garment": "type category garment",
    "pattern": "pattern design print",
    "neckline": "neckline neck",
    "gender": "gender wearer",
    "season": "season",
    "brand": "brand label maker designer",
    "length": "length",
    "style": "style",
    "fit": "fit",
    "size": "size",
    "usage": "use usage occasion wear",
}
